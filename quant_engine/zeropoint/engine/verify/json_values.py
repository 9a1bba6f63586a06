"""Frozen values as JSON and back, for files and pipes between the engine's own processes."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


class NotPlain(ValueError):  # noqa: N818 - what the text is
    """A text does not hold the value that it should."""


def to_json(value: object) -> str:
    """Return a dataclass as one line of JSON.

    Args:
        value: Its fields are str, int, float, bool, None, unions of these, Path, enums of str,
            tuples, mappings with str keys, or further dataclasses. Paths become absolute: who reads
            them may work in another folder.
    """
    assert dataclasses.is_dataclass(value), value
    assert not isinstance(value, type), value
    return json.dumps(dataclasses.asdict(value), default=_absolute)


def _absolute(path: Path) -> str:
    return str(path.absolute())


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read what `to_json` wrote.

    Raises:
        NotPlain: the text is something else.
    """
    try:
        result = _read(kind, json.loads(text))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise NotPlain(f"not a {kind.__name__}: {error!r}") from error
    assert isinstance(result, kind)
    return result


def _read(kind: Any, value: Any) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in _checked(list, value))
    if get_origin(kind) is Mapping:
        items = _checked(dict, value).items()
        return {key: _read(get_args(kind)[1], item) for key, item in items}
    if get_args(kind):
        return _one_of(get_args(kind), value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        fields = _checked(dict, value)
        return kind(**{name: _read(hint, fields[name]) for name, hint in _hints(kind).items()})
    if issubclass(kind, Path | Enum):
        return kind(_checked(str, value))
    return float(value) if kind is float else _checked(kind, value)


_hints = functools.cache(get_type_hints)


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """Read a value of X | None, or of a union of plain types."""
    if value is None and NoneType in kinds:
        return None
    present = [kind for kind in kinds if kind is not NoneType]
    kind = present[0] if len(present) == 1 else type(value)
    if kind not in present:
        raise TypeError(f"{type(value).__name__} instead of one of {present}")
    return _read(kind, value)


def _checked(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} instead of {kind.__name__}")
    return value
