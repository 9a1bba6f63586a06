"""The table of operators: rows name operators that there are, and say of them what is so."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.graphs import GraphBuilder

from zeropoint.engine.operators import OPERATORS, Role, Trait
from zeropoint.engine.runtime import Session

NAMES = sorted(OPERATORS)

# Of each of these an operator has one trait at most.
ONE_OF = (
    (Trait.RESHAPES, Trait.PERMUTES, Trait.PICKS, Trait.REPEATS, Trait.SELECTS, Trait.JOINS),
    (Trait.KEEPS, Trait.JOINS, Trait.MEANS, Trait.CONVOLVES, Trait.RANDOM, Trait.CONVERTS),
    (Trait.ELEMENTWISE, Trait.SPATIAL, Trait.ALONG_AXIS, Trait.ALONG_AXES, Trait.RANDOM),
    (Trait.ELEMENTWISE, Trait.CONVOLVES, Trait.CONVERTS),
)


def schema(key: tuple[str, str]) -> onnx.defs.OpSchema | None:
    """Return what ONNX says of an operator; None for those that only ONNX Runtime has."""
    domain, op_type = key
    return None if domain else onnx.defs.get_schema(op_type)


def test_operators_exist_and_have_the_inputs_that_their_rows_speak_of() -> None:
    for key, row in OPERATORS.items():
        assert key[0] in ("", "com.microsoft")
        found = schema(key)
        for rule in row.rules if found is not None else ():
            spoken = {*(rule.activations or ()), *rule.stored, rule.weight or 0, rule.bias or 0}
            assert found is not None
            assert max(spoken) < found.max_input, key


def test_traits_do_not_contradict_each_other() -> None:
    for key, row in OPERATORS.items():
        for group in ONE_OF:
            for one, other in combinations(group, 2):
                assert not (row.traits & one and row.traits & other), (key, one, other)
        assert not row.traits & Trait.CODES or row.traits & Trait.KEEPS, key
        assert not row.traits & Trait.PAIR or row.traits & Trait.CONVERTS, key


def test_axes_are_those_of_onnx() -> None:
    for key, row in OPERATORS.items():
        found = schema(key)
        if row.traits & Trait.ALONG_AXES:
            assert found is not None
            assert "axes" in {*found.attributes, *(value.name for value in found.inputs)}, key
        axis = None
        if row.traits & Trait.ALONG_AXIS:
            assert found is not None
            attribute = found.attributes["axis"]
            axis = None if attribute.required else attribute.default_value.i
        assert row.axis == axis, key


def test_rules_are_whole() -> None:
    for key, row in OPERATORS.items():
        for rule in row.rules:
            stored = rule.role is Role.STORED
            assert stored == bool(rule.stored) == (rule.stored_axes is not None), key
            assert rule.role is not Role.COMPUTE or rule.layout is not None, key
            if rule.layout is not None:
                assert rule.weight is not None, key
                assert row.traits & Trait.WEIGHTED, key


class Case(NamedTuple):
    """A node that gives values of its input, which is [2, 4, 2, 4]."""

    inputs: Sequence[NDArray[Any]] = ()
    outputs: int = 1
    attributes: Mapping[str, Any] = MappingProxyType({})


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


CASES = {
    "Concat": Case((), 1, {"axis": 1}),
    "DepthToSpace": Case((), 1, {"blocksize": 2}),
    "Expand": Case((ints(3, 2, 4, 2, 4),)),
    "Flatten": Case(),
    "Gather": Case((ints(1, 1, 0),), 1, {"axis": 1}),
    "GatherElements": Case((np.zeros((1, 4, 2, 4), np.int64),)),
    "GlobalMaxPool": Case(),
    "Identity": Case(),
    "MaxPool": Case((), 1, {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}),
    "ReduceMax": Case((ints(1),)),
    "ReduceMin": Case((ints(1),)),
    "Reshape": Case((ints(8, -1),)),
    "Slice": Case((ints(1), ints(3), ints(1))),
    "SpaceToDepth": Case((), 1, {"blocksize": 2}),
    "Split": Case((ints(1, 3),), 2, {"axis": 1}),
    "Squeeze": Case(),
    "Tile": Case((ints(1, 2, 1, 1),)),
    "Transpose": Case((), 1, {"perm": [3, 1, 0, 2]}),
    "Unsqueeze": Case((ints(0),)),
}
TYPES = {TensorProto.FLOAT: np.float32, TensorProto.INT8: np.int8, TensorProto.UINT8: np.uint8}
GIVES_WHAT_IT_TAKES = [
    (name, element_type)
    for domain, name in NAMES
    for element_type in TYPES
    if OPERATORS[domain, name].traits & (Trait.KEEPS | Trait.JOINS)
    if element_type == TensorProto.FLOAT or OPERATORS[domain, name].traits & Trait.CODES
]


@pytest.mark.parametrize(("name", "element_type"), GIVES_WHAT_IT_TAKES)
def test_values_are_those_of_the_input(
    name: str, element_type: TensorProto.DataType, tmp_path: Path
) -> None:
    traits, case = OPERATORS["", name].traits, CASES[name]
    data = np.random.default_rng(0).permutation(64).astype(TYPES[element_type]).reshape(2, 4, 2, 4)
    b = GraphBuilder(opset=18)
    b.input("x", data.shape, element_type)
    constants = [b.constant(f"k{index}", array) for index, array in enumerate(case.inputs)]
    outputs = [f"y{index}" for index in range(case.outputs)]
    read = ["x", "x"] if traits & Trait.JOINS else ["x"]
    b.nodes.append(helper.make_node(name, [*read, *constants], outputs, **case.attributes))
    for output in outputs:
        b.output(output, None, element_type)
    given = np.concatenate([np.ravel(y) for y in Session(b.save(tmp_path)).run({"x": data})])
    assert np.isin(given, data).all()
    if traits & Trait.MOVES:
        assert sorted(given) == sorted(data.ravel())
    if traits & Trait.RESHAPES:
        assert given.tolist() == data.ravel().tolist()
    if traits & Trait.PICKS:
        assert len(set(given.tolist())) == given.size
    if traits & Trait.JOINS:
        assert sorted(given) == sorted([*data.ravel(), *data.ravel()])
