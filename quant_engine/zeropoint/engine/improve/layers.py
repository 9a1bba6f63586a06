"""The layers of a plan that can be improved: their weights, biases, and where results are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from zeropoint.engine.graph import constant, input_at, name_of
from zeropoint.engine.improve.layer_form import LayerForm, form_of
from zeropoint.engine.number_types import INT32
from zeropoint.engine.numbers import QParams, bias_qparams, data_zero, sums_fit
from zeropoint.engine.operators import is_layer, summed_axes
from zeropoint.engine.plan import ConstantInput, InputKey, NodeQuant, Parameters, QuantPlan

Array = NDArray[Any]

_BIAS = 2  # input of Conv and Gemm
_LARGEST_BIAS = INT32.limits.high / 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One layer whose weight becomes integers.

    Attributes:
        node: Its name.
        result: Name of what it gives in the float model, its bias added.
        producer: Name of the node that gives that.
        weight: Its weight, as the node reads it.
        where: How that is planned.
        qparams: Scales and zero points of it.
        form: How it multiplies.
        bias: One value for each output channel; zeros where there is none.
        bias_shape: As the node reads it.
        bias_at: Where that is read, or could be; None where the operator takes none.
        bias_qparams: Parameters of the bias; None where it stays float.
        data: Parameters of its data; None where these are floats.
        summed: Axes of the weight along which products are summed up.
    """

    node: str
    result: str
    producer: str
    weight: Array
    where: ConstantInput
    qparams: QParams
    form: LayerForm
    bias: Array
    bias_shape: tuple[int, ...]
    bias_at: InputKey | None
    bias_qparams: QParams | None
    data: QParams | None
    summed: tuple[int, ...]

    @property
    def matrices(self) -> NDArray[np.float64]:
        """The weight as [groups, outputs, inputs]."""
        return self.form.matrices(self.weight.astype(np.float64))

    @property
    def grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and zero point of each element of `matrices`."""
        return self._spread(self.qparams.scale), self._spread(self.qparams.zero_point)

    @property
    def bias_matrix(self) -> NDArray[np.float64]:
        """The bias as [groups, outputs]."""
        return self.bias.astype(np.float64).reshape(self.matrices.shape[:2])

    def fits(self, codes: NDArray[np.integer]) -> bool:
        """Whether what an integer kernel sums up with these codes fits into int32."""
        if self.data is None or self.bias_qparams is None:
            return True
        bias = np.abs(self.bias.astype(np.float64)) / self.bias_qparams.scale.astype(np.float64)
        zero = self.qparams.zero_point.reshape(-1)
        return sums_fit(codes, zero, self.summed, data_zero(self.data), bias)

    def takes_bias(self, bias: NDArray[np.floating]) -> bool:
        """Whether a bias can be stored as it will be."""
        if self.bias_qparams is None:
            return True
        scale = self.bias_qparams.scale.astype(np.float64)
        return bool((np.abs(bias) / scale < _LARGEST_BIAS).all())

    def _spread(self, figures: Array) -> NDArray[np.float64]:
        shape = [1] * self.weight.ndim
        if self.qparams.axis is not None:
            shape[self.qparams.axis] = -1
        spread = np.broadcast_to(figures.astype(np.float64).reshape(shape), self.weight.shape)
        return self.form.matrices(spread)


def layers_of(graph: ir.Graph, plan: QuantPlan, parameters: Parameters) -> tuple[Layer, ...]:
    """Return the layers of the main graph that can be improved, in graph order."""
    nodes = {name_of(node): node for node in graph}
    found = (
        _layer(nodes[name], quant, nodes, parameters)
        for name, quant in plan.nodes.items()
        if name in nodes and is_layer(nodes[name])
    )
    return tuple(layer for layer in found if layer is not None)


def _layer(
    node: ir.Node, quant: NodeQuant, nodes: Mapping[str, ir.Node], parameters: Parameters
) -> Layer | None:
    where = next((each for each in _weights(quant) if not each.rows), None)
    if quant.dynamic:
        return None
    array = None if where is None else constant(input_at(node, where.index))
    form = None if array is None else form_of(node, array)
    if where is None or array is None or form is None or array.dtype != np.float32:
        return None
    outputs = int(np.prod(form.matrices(array).shape[:2]))
    key, end = _bias_of(node, quant)
    value = None if key is None else input_at(nodes[key[0]], key[1])
    bias = constant(value)
    if value is None:
        bias = np.zeros(outputs, np.float32)
    if (
        bias is None
        or bias.size not in (1, outputs)
        or bias.shape[-1:] not in ((), (1,), (outputs,))
    ):
        return None
    alone = bias.size == outputs
    qparams = parameters.constants[where.key]
    data = parameters.tensors.get(quant.tensors[0]) if quant.tensors else None
    result = nodes[end].outputs[0]
    return Layer(
        node=quant.node,
        result=name_of(result),
        producer=end,
        weight=array,
        where=where,
        qparams=qparams,
        form=form,
        bias=np.broadcast_to(bias.reshape(-1), (outputs,)),
        bias_shape=bias.shape if alone else (outputs,),
        bias_at=key,
        bias_qparams=_bias_qparams(quant, data, qparams),
        data=data,
        summed=summed_axes(node, array.ndim),
    )


def _weights(quant: NodeQuant) -> Iterator[ConstantInput]:
    if quant.weight is not None:
        yield quant.weight
    yield from quant.stored


def _bias_of(node: ir.Node, quant: NodeQuant) -> tuple[InputKey | None, str]:
    """Return where a bias is read, or could be, and the node that gives the sum with it."""
    if quant.bias is not None:
        return quant.bias.key, quant.bias.node
    return (None if node.op_type == "MatMul" else (quant.node, _BIAS)), quant.node


def _bias_qparams(quant: NodeQuant, data: QParams | None, weight: QParams) -> QParams | None:
    stays = quant.bias is not None and quant.bias.stays_float
    if data is None or stays or quant.weight is None:
        return None
    return bias_qparams(data, weight)
