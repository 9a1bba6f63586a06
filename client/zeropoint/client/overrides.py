"""`TensorQuantOverrides` as `onnxruntime.quantization` has them: a dict of lists of dicts.

A list has one dict for the tensor, or with an `axis` one for each channel.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zeropoint.client.coercion import coerce, flag, number, reject_unknown
from zeropoint.client.errors import OptionError
from zeropoint.client.options import QuantType, TensorQuantOverride

_FIGURES = ("scale", "zero_point", "rmin", "rmax")
_KEYS = ("quant_type", "symmetric", "reduce_range", "axis", *_FIGURES)


def tensor_quant_overrides(value: object, option: str) -> tuple[TensorQuantOverride, ...]:
    """Return the overrides of tensors; a list that is empty, or has nothing in it, is none.

    Args:
        value: The value of the extra option.
        option: Its key, for messages.

    Raises:
        OptionError: it is none of that form, or asks for a second type within one tensor.
    """
    if not isinstance(value, Mapping):
        raise _invalid(option, "must be a dict of lists of dicts")
    found = []
    for name, channels in value.items():
        if not isinstance(name, str):
            raise _invalid(option, f"{name!r} is no name of a tensor")
        if not isinstance(channels, Sequence) or not all(isinstance(c, Mapping) for c in channels):
            raise _invalid(option, f"{name!r} must have a list of dicts", name)
        if any(channels):
            found.append(_override(name, channels, option))
    return tuple(found)


def _override(name: str, channels: Sequence[Mapping[str, Any]], option: str) -> TensorQuantOverride:
    where = f"{option}[{name!r}]"
    for channel in channels:
        if "convert" in channel:
            raise _invalid(
                option,
                f"{name!r}: convert is not supported: a tensor has one type for all its readers",
                name,
            )
        reject_unknown(tuple(channel), _KEYS, f"key of {where}")
    if len(channels) > 1 and "axis" not in channels[0]:
        raise _invalid(option, f"{name!r}: several channels need an axis in the first dict", name)
    return TensorQuantOverride(
        tensor_name=name,
        quant_type=_common(channels, "quant_type", _quant_type, where),
        symmetric=_common(channels, "symmetric", flag, where),
        reduce_range=_common(channels, "reduce_range", flag, where),
        axis=_common(channels, "axis", _whole, where),
        scale=_each(channels, "scale", _single, where),
        zero_point=_each(channels, "zero_point", _whole, where),
        rmin=_each(channels, "rmin", _single, where),
        rmax=_each(channels, "rmax", _single, where),
    )


def _common(
    channels: Sequence[Mapping[str, Any]],
    key: str,
    read: Callable[[object, str], Any],
    where: str,
) -> Any:
    """Return what the first channel says; the others may leave it out, but not contradict."""
    said = [read(channel[key], f"{where}.{key}") for channel in channels if key in channel]
    if not said:
        return None
    if key not in channels[0] or any(one != said[0] for one in said):
        raise _invalid(where, f"{key} must be the same for all channels, and in the first dict")
    return said[0]


def _each(
    channels: Sequence[Mapping[str, Any]],
    key: str,
    read: Callable[[object, str], Any],
    where: str,
) -> tuple[Any, ...]:
    """Return a figure of each channel, if any has it."""
    said = [read(channel[key], f"{where}.{key}") for channel in channels if key in channel]
    if said and len(said) != len(channels):
        raise _invalid(where, f"{key} must be given for all channels or for none")
    return tuple(said)


def _quant_type(value: object, option: str) -> QuantType:
    return coerce(QuantType, value, option)


def _single(value: object, option: str) -> float:
    """Return a number that may come as an array of one element, as 1.32 takes it."""
    return number(_unwrapped(value), option)


def _whole(value: object, option: str) -> int:
    whole = number(_unwrapped(value), option)
    if not whole.is_integer():
        raise _invalid(option, f"must be a whole number, not {value!r}")
    return int(whole)


def _unwrapped(value: object) -> object:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _invalid(option: str, problem: str, tensor: str | None = None) -> OptionError:
    metadata = {"option": option} | ({} if tensor is None else {"tensor": tensor})
    return OptionError("OPTION_INVALID", f"{option}: {problem}.", metadata)
