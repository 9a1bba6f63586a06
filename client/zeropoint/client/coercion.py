"""Single values as users give them, to typed ones.

Enums written for `onnxruntime.quantization` are understood without importing it.
"""

import difflib
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from zeropoint.client.errors import OptionError
from zeropoint.client.options import (
    AccuracyMode,
    CalibrationMethod,
    Objective,
    QuantFormat,
    QuantType,
    StatePair,
)

_EnumT = TypeVar("_EnumT", QuantType, QuantFormat, CalibrationMethod, AccuracyMode, Objective)

# Members that onnxruntime.quantization has and this version of Zeropoint has not.
_NOT_YET: Mapping[type[Enum], frozenset[str]] = MappingProxyType(
    {
        QuantType: frozenset({"QFLOAT8E4M3FN", "QInt16", "QUInt16", "QInt4", "QUInt4"}),
        CalibrationMethod: frozenset({"Distribution"}),
    }
)


# Numbers of onnx.TensorProto.DataType, which name a type as well.
_BY_NUMBER: Mapping[int, str] = MappingProxyType(
    {
        2: "QUInt8",
        3: "QInt8",
        4: "QUInt16",
        5: "QInt16",
        17: "QFLOAT8E4M3FN",
        21: "QUInt4",
        22: "QInt4",
    }
)


def coerce(enum: type[_EnumT], value: object, option: str) -> _EnumT:
    """Return the member of `enum` that `value` means.

    Args:
        enum: The enum wanted.
        value: A member of it, a member of the enum of the same name in `onnxruntime.quantization`
            (matched by name, without importing it), a member's name in any case, or for a type its
            number in `onnx.TensorProto`.
        option: Name of the option, for messages.

    Raises:
        OptionError: no such member, one of another enum, or one that is not supported yet.
    """
    name = _name(enum, value)
    members = {member.lower(): enum[member] for member in enum.__members__}
    if name is not None and name.lower() in members:
        return members[name.lower()]
    choices = " or ".join(enum.__members__)
    absent = {member.lower(): member for member in _NOT_YET.get(enum, ())}
    if name is not None and name.lower() in absent:
        problem = f"{option}={absent[name.lower()]} is not supported yet; use {choices}."
    else:
        problem = f"{option}={value!r} is none of {enum.__name__}: use {choices}."
    raise OptionError("OPTION_INVALID", problem, {"option": option, "value": str(value)})


def _name(enum: type[Enum], value: object) -> str | None:
    if isinstance(value, Enum):
        return value.name if type(value).__name__ == enum.__name__ else None
    if enum is QuantType and isinstance(value, int) and not isinstance(value, bool):
        return _BY_NUMBER.get(value)
    return value if isinstance(value, str) else None


def _invalid(option: str, value: object, wanted: str) -> OptionError:
    return OptionError(
        "OPTION_INVALID", f"{option} must be {wanted}, not {value!r}.", {"option": option}
    )


def flag(value: object, option: str) -> bool:
    """Return `value` if it is True or False.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(value, bool):
        return value
    raise _invalid(option, value, "True or False")


def number(value: object, option: str) -> float:
    """Return `value` as a float if it is a real number.

    Raises:
        OptionError: it is none.
    """
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    raise _invalid(option, value, "a number")


def names(value: object, option: str) -> tuple[str, ...]:
    """Return `value` as names; None means none.

    Raises:
        OptionError: it is no list of names; a lone string would be read letter by letter.
    """
    if value is None:
        return ()
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        listed = tuple(value)
        if all(isinstance(name, str) for name in listed):
            return listed
    raise _invalid(option, value, "a list of names")


def text(value: object, option: str) -> str:
    """Return `value` if it is text.

    Raises:
        OptionError: it is not.
    """
    if isinstance(value, str):
        return value
    raise _invalid(option, value, "text")


def state_pairs(value: object) -> tuple[StatePair, ...]:
    """Return what feeds the next call, given inputs by the outputs that feed them; None: nothing.

    Raises:
        OptionError: it is no mapping of names to names.
    """
    if value is None:
        return ()
    if isinstance(value, Mapping):
        items = tuple(value.items())
        if all(isinstance(name, str) for pair in items for name in pair):
            return tuple(StatePair(output=output, input=taken) for output, taken in items)
    raise _invalid("state", value, "a mapping of outputs to inputs")


def reject_unknown(given: Sequence[str], known: Sequence[str], kind: str) -> None:
    """Refuse names that are not known, with the nearest that is.

    Args:
        given: Names that were given.
        known: Names that exist.
        kind: What they name, for the message.

    Raises:
        OptionError: for the first name that is unknown.
    """
    for name in given:
        if name not in known:
            folded = {candidate.lower(): candidate for candidate in known}
            near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
            hint = f"; did you mean {folded[near[0]]}?" if near else "."
            message = f"There is no {kind} {name!r}{hint}"
            raise OptionError("OPTION_UNKNOWN", message, {"option": str(name)})
