"""How much of a model runs on integers, read from the graph that ONNX Runtime makes of it."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from zeropoint.engine.protobuf import all_nodes
from zeropoint.engine.report import KernelCount

# Operators of ONNX Runtime's optimized graphs that multiply integers, and what they stand for.
_INTEGER_KERNELS = {
    "ConvInteger": ("Conv",),
    "QLinearConv": ("Conv",),
    "NhwcQLinearConv": ("Conv",),
    "QLinearConvTranspose": ("ConvTranspose",),
    "DynamicQuantizeMatMul": ("MatMul", "Gemm"),
    "MatMulInteger": ("MatMul", "Gemm"),
    "MatMulIntegerToFloat": ("MatMul", "Gemm"),
    "DynamicQuantizeLSTM": ("LSTM",),
    "QAttention": ("Attention",),
    "QGemm": ("Gemm", "MatMul"),
    "QLinearMatMul": ("MatMul", "Gemm"),
}

# Those that do something else with them.
_JOINING_KERNELS = {
    f"QLinear{op_type}": (op_type,)
    for op_type in (
        "Add",
        "AveragePool",
        "Concat",
        "GlobalAveragePool",
        "LeakyRelu",
        "Mul",
        "Sigmoid",
        "Softmax",
        "Where",
    )
}
_ALL_KERNELS = _INTEGER_KERNELS | _JOINING_KERNELS

# What is added to a node's name: by layout changes ("_token_7"), by the fusion of MatMul and Add,
# and by rewriting a node into an integer operator ("_MatMulInteger", with a number if taken).
_ADDED = re.compile(rf"(_token_\d+|/MatMulAddFusion|_quant|_({'|'.join(_ALL_KERNELS)})(_\d+)?)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnnamedKernels:
    """Integer kernels that cannot be told apart by name.

    Attributes:
        nodes: Names of the nodes of one type that they may be.
        integer: How many of these they are.
    """

    nodes: tuple[str, ...]
    integer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerKernels:
    """Which nodes became integer kernels.

    Attributes:
        counts: By operator type, in alphabetical order.
        float_nodes: Names of the nodes that did not, in the order given. Where ONNX Runtime made
            integer kernels that cannot be told apart by name, only `counts` is known of their type
            and none of its nodes is listed.
        requantized: Names of the nodes that became such kernels although they shall stay float.
        integer_nodes: Names of the nodes that became such kernels, `requantized` among them.
        unnamed: What is known of others that did, by type.
    """

    counts: tuple[KernelCount, ...]
    float_nodes: tuple[str, ...]
    requantized: tuple[str, ...] = ()
    integer_nodes: tuple[str, ...] = ()
    unnamed: tuple[UnnamedKernels, ...] = ()


def count_integer_kernels(
    optimized: Path, nodes: Mapping[str, str], kept: frozenset[str] = frozenset()
) -> IntegerKernels:
    """Count the integer kernels in an optimized graph.

    Args:
        optimized: ONNX Runtime's optimized graph of the quantized model, as `Session` writes it.
        nodes: Operator type of each Conv, ConvTranspose, MatMul and Gemm of the float model, and
            for dynamic quantization of each LSTM and Attention, by the name that it has in the
            quantized model.
        kept: Names of the nodes that shall stay float. They are counted as if they did.
    """
    model = onnx.ModelProto.FromString(optimized.read_bytes())
    kernels = [node for node in all_nodes(model.graph) if node.op_type in _ALL_KERNELS]
    given = {original_name(node.name, kept) for node in kernels}
    layers = {name: op_type for name, op_type in nodes.items() if name not in kept}
    multiplying = [
        node
        for node in kernels
        if node.op_type in _INTEGER_KERNELS and original_name(node.name, kept) is None
    ]
    found, unnamed = _attribute(multiplying, layers)
    totals = Counter(nodes.values())
    named = Counter(nodes[name] for name in found)
    counts = tuple(
        KernelCount(op_type=op_type, nodes=total, integer=named[op_type] + unnamed[op_type])
        for op_type, total in sorted(totals.items())
    )
    float_nodes = tuple(
        name for name, op_type in nodes.items() if name not in found and not unnamed[op_type]
    )
    requantized = tuple(sorted(name for name in given if name is not None))
    return IntegerKernels(
        counts=counts,
        float_nodes=float_nodes,
        requantized=requantized,
        integer_nodes=tuple(name for name in nodes if name in found or name in requantized),
        unnamed=tuple(
            UnnamedKernels(
                nodes=tuple(n for n, op in layers.items() if op == op_type and n not in found),
                integer=integer,
            )
            for op_type, integer in sorted(unnamed.items())
        ),
    )


def _attribute(
    kernels: Iterable[onnx.NodeProto], nodes: Mapping[str, str]
) -> tuple[set[str], Counter[str]]:
    """Return the nodes that are integer kernels by name, and how many more there are of a type."""
    found: set[str] = set()
    strangers: list[str] = []
    for kernel in kernels:
        name = original_name(kernel.name, nodes)
        if name is None:
            strangers.append(kernel.op_type)
        else:
            found.add(name)
    free = Counter(op_type for name, op_type in nodes.items() if name not in found)
    unnamed: Counter[str] = Counter()
    for stranger in strangers:
        for op_type in _INTEGER_KERNELS[stranger]:
            if free[op_type] > unnamed[op_type]:
                unnamed[op_type] += 1
                break
    return found, unnamed


def original_name(name: str, nodes: Container[str]) -> str | None:
    """Return which of the given nodes a node was made of, by its name; None: of none that is known.

    Args:
        name: Of a node of a quantized model, or of ONNX Runtime's optimized graph of it.
        nodes: Names of nodes of the float model.
    """
    while name not in nodes:
        shorter = _ADDED.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return name
