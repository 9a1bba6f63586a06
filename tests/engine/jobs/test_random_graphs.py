"""Whatever the graph: the result loads, agrees with the float model, and is the same again."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.agreement import signature
from support.engine import run, sqnr_db
from support.noise import allowances
from support.random_graphs import RandomGraph, random_graphs
from support.unverified import quantize_unverified

from zeropoint.engine import (
    DynamicOptions,
    NodeSelection,
    NothingToQuantize,
    PostTrainingOptions,
    QdqOptions,
    QuantFormat,
    QuantType,
    StaticOptions,
    WeightOptions,
    static_op_types,
)

# Quantization of this quality needs no explanation by noise.
_GOOD_DB = 30.0


_EXCLUDED = st.lists(st.sampled_from(["Add", "Conv", "MatMul", "Relu", "Reshape"]), max_size=2)
_FORMS = st.builds(
    QdqOptions,
    quantize_bias=st.booleans(),
    add_pair_to_weight=st.booleans(),
    dedicated_pair=st.booleans(),
    use_contrib_ops=st.booleans(),
)


@st.composite
def static_options(draw: st.DrawFn) -> StaticOptions:
    activation = draw(st.sampled_from(list(QuantType)))
    types = [QuantType.QINT8] if activation.signed else list(QuantType)
    symmetric = draw(st.sampled_from([None, False, True]))
    asymmetric = not activation.signed and not symmetric
    return StaticOptions(
        activation_type=activation,
        activation_symmetric=symmetric,
        activation_restricted_asymmetric=asymmetric and draw(st.booleans()),
        selection=NodeSelection(
            op_types_to_quantize=draw(st.sampled_from([(), static_op_types()])),
            enable_subgraph=draw(st.booleans()),
            matmul_const_b_only=draw(st.booleans()),
            force_quantize_no_input_check=draw(st.booleans()),
            op_types_to_exclude_output_quantization=tuple(draw(_EXCLUDED)),
        ),
        weight=draw(weight_options(types)),
        qdq=draw(_FORMS),
    )


def lowered_options() -> st.SearchStrategy[StaticOptions]:
    forms = st.sampled_from([QuantFormat.QOPERATOR, QuantFormat.INTEGER_OPS])
    return st.builds(lambda o, form: replace(o, quant_format=form), static_options(), forms)


@st.composite
def weight_options(draw: st.DrawFn, types: list[QuantType]) -> WeightOptions:
    per_channel = draw(st.booleans())
    return WeightOptions(
        quant_type=draw(st.sampled_from(types)),
        per_channel=per_channel,
        reduce_range=draw(st.booleans()),
        symmetric=draw(st.sampled_from([None, True] if per_channel else [None, True, False])),
    )


def dynamic_options() -> st.SearchStrategy[DynamicOptions]:
    selection = st.builds(
        NodeSelection, enable_subgraph=st.booleans(), matmul_const_b_only=st.booleans()
    )
    return st.builds(DynamicOptions, selection=selection, weight=weight_options(list(QuantType)))


def check(graph: RandomGraph, options: PostTrainingOptions) -> bool:
    """Quantize twice, the second time in another order; return whether anything was quantized."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "model.onnx")
        onnx.save(graph.model, source)
        try:
            result = quantize_unverified(source, graph.batches, options, Path(folder, "job"))
        except NothingToQuantize:
            return False
        onnx.checker.check_model(result.model, full_check=True)
        assert signature(result.model) == signature(graph.model)
        again = quantize_unverified(source, graph.batches[::-1], options, Path(folder, "again"))
        assert again.path.read_bytes() == result.path.read_bytes()
        agree(source, result.path, graph, seven_bits=options.weight.reduce_range)
    return True


def agree(source: Path, result: Path, graph: RandomGraph, *, seven_bits: bool) -> None:
    batch = graph.batches[0]
    outputs = [value.name for value in graph.model.graph.output]
    references, quantized = run(source, batch), run(result, batch)
    for reference, other in zip(references, quantized, strict=True):
        assert other.dtype == reference.dtype
        assert other.shape == reference.shape
        assert np.array_equal(np.isfinite(other), np.isfinite(reference))
    if min(map(sqnr_db, references, quantized)) > _GOOD_DB:
        return
    allowed = allowances(source, graph.batches, batch, bits=7 if seven_bits else 8)
    for name, reference, other in zip(outputs, references, quantized, strict=True):
        assert np.abs(other - reference).max() <= allowed[name].error, name


_FEW = settings(max_examples=25, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=3000, suppress_health_check=list(HealthCheck))


@_FEW
@given(random_graphs(), st.sampled_from([StaticOptions(), DynamicOptions()]))
def test_all_defaults(graph: RandomGraph, options: PostTrainingOptions) -> None:
    check(graph, options)


@_FEW
@given(random_graphs(), static_options())
def test_static(graph: RandomGraph, options: StaticOptions) -> None:
    check(graph, options)


@_FEW
@given(random_graphs(), lowered_options())
def test_integer_operators(graph: RandomGraph, options: StaticOptions) -> None:
    check(graph, options)


@_FEW
@given(random_graphs(), dynamic_options())
def test_dynamic(graph: RandomGraph, options: DynamicOptions) -> None:
    check(graph, options)


@pytest.mark.soak
@_MANY
@given(random_graphs(), static_options())
def test_static_at_length(graph: RandomGraph, options: StaticOptions) -> None:
    check(graph, options)


@pytest.mark.soak
@_MANY
@given(random_graphs(), lowered_options())
def test_integer_operators_at_length(graph: RandomGraph, options: StaticOptions) -> None:
    check(graph, options)


@pytest.mark.soak
@_MANY
@given(random_graphs(), dynamic_options())
def test_dynamic_at_length(graph: RandomGraph, options: DynamicOptions) -> None:
    check(graph, options)
