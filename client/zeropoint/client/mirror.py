"""Between the contract's messages and the dataclasses that mirror them, field by field.

A dataclass mirrors a message when its fields carry the message's names. `X | None` stands for
presence, `tuple[X, ...]` for a repeated field, an enum for the enum whose values have the names
of its members. Two places are shaped differently, and are named in `_READERS`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zeropoint import v1
from zeropoint.client.errors import ServerError
from zeropoint.client.options import DynamicOptions, Options, QatOptions, StaticOptions
from zeropoint.client.report import Report, TensorSpec

_T = TypeVar("_T")
_EnumT = TypeVar("_EnumT", bound=StrEnum)
_MessageT = TypeVar("_MessageT", bound=Message)
_Reader = Callable[[Any], Any]


def read(mirror: type[_T], message: Message) -> _T:
    """Return the dataclass that mirrors a message.

    Args:
        mirror: Type of the dataclass.
        message: Of the type that it mirrors.

    Raises:
        ServerError: an enum has a value that this version of the client does not know.
    """
    kind: Any = mirror  # mypy takes classes for unhashable
    return mirror(**{name: reader(message) for name, reader in _field_readers(kind)})


def write(message: type[_MessageT], value: Any) -> _MessageT:
    """Return the message that a dataclass mirrors; fields that are None stay unset."""
    descriptors: Mapping[str, Any] = message.DESCRIPTOR.fields_by_name
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item, descriptor = getattr(value, field.name), descriptors[field.name]
        if isinstance(item, StrEnum):
            members = _known_members(type(item), descriptor.enum_type)
            item = next(number for number, member in members.items() if member is item)
        elif dataclasses.is_dataclass(item):
            item = write(GetMessageClass(descriptor.message_type), item)
        elif isinstance(item, tuple) and descriptor.message_type is not None:
            item = [write(GetMessageClass(descriptor.message_type), one) for one in item]
        if item is not None:
            fields[field.name] = item
    return message(**fields)


@functools.cache
def _field_readers(mirror: type[Any]) -> tuple[tuple[str, _Reader], ...]:
    """Return, for each field of a dataclass, its name and how to read it from the message."""
    hints = get_type_hints(mirror)
    return tuple(
        (field.name, _READERS.get((mirror, field.name)) or _reader(field, hints[field.name]))
        for field in dataclasses.fields(mirror)
    )


def _reader(field: dataclasses.Field[Any], hint: Any) -> _Reader:
    name = field.name
    if get_origin(hint) is tuple:
        return functools.partial(_read_repeated, name, get_args(hint)[0])
    optional = get_origin(hint) is UnionType and NoneType in get_args(hint)
    kind = next(arg for arg in get_args(hint) if arg is not NoneType) if optional else hint
    return functools.partial(_read_single, name, kind, optional, field.default)


def _read_repeated(name: str, kind: type, message: Message) -> tuple[Any, ...]:
    items = getattr(message, name)
    if dataclasses.is_dataclass(kind):
        return tuple(read(kind, item) for item in items)
    if issubclass(kind, StrEnum):
        known = _known_members(kind, message.DESCRIPTOR.fields_by_name[name].enum_type)
        return tuple(known[item] for item in items if item in known)
    return tuple(items)


def _read_single(name: str, kind: type, optional: bool, default: object, message: Message) -> Any:
    presence = optional and message.DESCRIPTOR.fields_by_name[name].has_presence
    if presence and not message.HasField(name):
        return None
    value = getattr(message, name)
    if dataclasses.is_dataclass(kind):
        return read(kind, value)
    if issubclass(kind, StrEnum):
        known = _known_members(kind, message.DESCRIPTOR.fields_by_name[name].enum_type)
        return known[value] if value in known else _unspecified(name, value, default)
    return value


def _unspecified(name: str, value: int, default: object) -> object:
    if value == 0 and default is not dataclasses.MISSING:
        return default
    text = f"The server sent {name}={value}, which this client does not know. Upgrade the client."
    raise ServerError("PROTOCOL_VIOLATION", text, {"field": name, "value": str(value)})


def members_by_number(kind: type[_EnumT], enum_type: Any) -> Mapping[int, _EnumT]:
    """Return the members of `kind` by number: QuantType.QInt8 for QUANT_TYPE_QINT8, and so on.

    Args:
        kind: An enum of the client.
        enum_type: Descriptor of the enum that it mirrors; values without a member are left out.
    """
    by_name = {member.name.upper().replace("_", ""): member for member in kind}
    prefix = enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    names = {
        value.number: value.name.removeprefix(prefix).replace("_", "") for value in enum_type.values
    }
    return {number: by_name[name] for number, name in names.items() if name in by_name}


_known_members = functools.cache(members_by_number)


def _read_shape(message: v1.TensorSpec) -> tuple[int | str | None, ...] | None:
    if not message.HasField("shape"):
        return None
    chosen = ((d, d.WhichOneof("value")) for d in message.shape.dimensions)
    return tuple(getattr(dimension, field) if field else None for dimension, field in chosen)


def _read_options(message: v1.Report) -> Options:
    match message.WhichOneof("options"):
        case "dynamic_options":
            return read(DynamicOptions, message.dynamic_options)
        case "qat_options":
            return read(QatOptions, message.qat_options)
        case _:
            return read(StaticOptions, message.static_options)


_READERS: Mapping[tuple[type, str], _Reader] = {
    (TensorSpec, "shape"): cast(_Reader, _read_shape),
    (Report, "options"): cast(_Reader, _read_options),
}
