"""Whether a batch fits what a model takes."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from zeropoint.engine.errors import BatchError
from zeropoint.engine.report import Signature, TensorSpec
from zeropoint.engine.settings import Batch


def element_type_of(dtype: np.dtype[np.generic]) -> int:
    """Return the ONNX element type of numpy's; 0 where there is none.

    Text of any kind (numpy `str_`, `bytes_`, `object_`) is ONNX STRING.
    """
    if dtype.kind in "USO":
        return TensorProto.STRING
    try:
        return helper.np_dtype_to_tensor_dtype(dtype)
    except ValueError:
        return TensorProto.UNDEFINED


def dtype_of(element_type: int) -> np.dtype[np.generic]:
    """Return the numpy type of an ONNX element type; those that numpy lacks are of `ml_dtypes`.

    Raises:
        TypeError: numpy cannot hold such elements.
    """
    return np.dtype(helper.tensor_dtype_to_np_dtype(element_type))


def check_batch(signature: Signature, batch: Batch) -> None:
    """Refuse a batch that the model cannot take.

    Raises:
        BatchError: BATCH_INPUT_MISSING, BATCH_INPUT_UNKNOWN, BATCH_ELEMENT_TYPE or BATCH_SHAPE.
    """
    names = {spec.name for spec in signature.inputs}
    for name in batch:
        if name not in names:
            raise BatchError(
                "BATCH_INPUT_UNKNOWN",
                f"The model has no input {name!r}; it takes {_listed(signature)}.",
                input=name,
            )
    sizes: dict[str, tuple[int, str]] = {}
    for spec in signature.inputs:
        if spec.name not in batch:
            raise BatchError(
                "BATCH_INPUT_MISSING",
                f"Input {spec.name!r} is missing; the model takes {_listed(signature)}.",
                input=spec.name,
            )
        _check_element_type(spec, batch[spec.name])
        _check_shape(spec, batch[spec.name].shape)
        _check_symbols(spec, batch[spec.name].shape, sizes)


def _check_element_type(spec: TensorSpec, array: NDArray[np.generic]) -> None:
    if element_type_of(array.dtype) != spec.element_type:
        expected, got = _type_name(spec.element_type), _dtype_name(array.dtype)
        raise BatchError(
            "BATCH_ELEMENT_TYPE",
            f"Input {spec.name!r} takes {expected}, got {got}.",
            input=spec.name,
            expected=expected,
            got=got,
        )


def _check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    if spec.shape is None:
        return
    fits = len(shape) == len(spec.shape) and all(
        not isinstance(expected, int) or expected == size
        for expected, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise _shape_error(spec, shape, "")


def _check_symbols(
    spec: TensorSpec, shape: tuple[int, ...], sizes: dict[str, tuple[int, str]]
) -> None:
    """Hold equal symbols to equal sizes and note the sizes seen, each with its input's name."""
    if spec.shape is None:
        return
    uses = Counter(spec.shape)
    for axis, (symbol, size) in enumerate(zip(spec.shape, shape, strict=True)):
        # Exporters write "?" and the like for every unknown axis: such a symbol says nothing.
        if not isinstance(symbol, str) or uses[symbol] > 1 or not _is_word(symbol):
            continue
        first, owner = sizes.setdefault(symbol, (size, spec.name))
        if first != size:
            raise _shape_error(
                spec, shape, f": {symbol} is {size} on axis {axis} but {first} in {owner!r}"
            )


def _is_word(symbol: str) -> bool:
    return any(character.isalpha() for character in symbol)


def _shape_error(spec: TensorSpec, shape: tuple[int, ...], detail: str) -> BatchError:
    expected = _shape_text(spec.shape)
    got = _shape_text(shape)
    return BatchError(
        "BATCH_SHAPE",
        f"Input {spec.name!r} takes shape {expected}, got {got}{detail}.",
        input=spec.name,
        expected=expected,
        got=got,
    )


def _listed(signature: Signature) -> str:
    return ", ".join(repr(spec.name) for spec in signature.inputs) or "no inputs"


def _type_name(element_type: int) -> str:
    if element_type == TensorProto.UNDEFINED:
        return "a value that is no tensor and cannot be fed"
    if element_type == TensorProto.STRING:
        return "string"
    return _dtype_name(dtype_of(element_type))


def _dtype_name(dtype: np.dtype[np.generic]) -> str:
    """The name of a type in numpy, but that of ONNX for text of any kind."""
    return "string" if element_type_of(dtype) == TensorProto.STRING else dtype.name


def _shape_text(shape: tuple[int | str | None, ...] | None) -> str:
    if shape is None:
        return "of any rank"
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
