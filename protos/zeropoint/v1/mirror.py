"""Between the contract's messages and the dataclasses that mirror them, field by field.

A dataclass mirrors a message when its fields carry the message's names:

    X | None                a field that may be absent
    tuple[X, ...]           a repeated field
    a StrEnum               the enum whose values have the names of its members
    a dataclass             a message
    a union of dataclasses  a oneof of that name; the types have the names of its messages
    a shape                 `TensorShape`: a size, a symbol or None for each axis

Engine and client each declare their own values; nothing else is needed to send and to read them.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zeropoint import v1

_T = TypeVar("_T")
_EnumT = TypeVar("_EnumT", bound=StrEnum)
_MessageT = TypeVar("_MessageT", bound=Message)

Unknown = Callable[[str, int], Exception]
"""Makes the error for an enum's number without a member, given the field's name."""

_Reader = Callable[[Any, Unknown], Any]
_Shape = tuple[int | str | None, ...]
_DEFAULT = object()


def write(message: type[_MessageT], value: Any, *, without: Collection[str] = ()) -> _MessageT:
    """Return the message that a dataclass mirrors.

    Args:
        message: Type of the message.
        value: The dataclass. What is None stays absent.
        without: Names of fields to leave out.

    Raises:
        KeyError: the message has no field of that name.
    """
    descriptor = message.DESCRIPTOR
    kind: Any = type(value)  # mypy takes classes for unhashable
    fields: dict[str, Any] = {}
    for name in _names(kind):
        item = getattr(value, name)
        if item is None or name in without:
            continue
        if name in descriptor.oneofs_by_name:
            name = _choices(descriptor.oneofs_by_name[name])[type(item).__name__]
        fields[name] = _written(item, descriptor.fields_by_name[name])
    return message(**fields)


def read(mirror: type[_T], message: Message, unknown: Unknown, **given: Any) -> _T:
    """Return the dataclass that mirrors a message; what is absent takes the dataclass's default.

    Args:
        mirror: Type of the dataclass.
        message: Of the type that it mirrors.
        unknown: Makes the error for a choice that the dataclass does not know. In a repeated field
            such are left out.
        **given: Fields that are not in the message.

    Raises:
        Exception: that of `unknown`, or what the dataclass raises.
    """
    kind: Any = mirror
    readers = _readers(kind, message.DESCRIPTOR)
    values = {name: reader(message, unknown) for name, reader in readers}
    return mirror(**given, **{name: v for name, v in values.items() if v is not _DEFAULT})


@functools.cache
def numbers(kind: type[_EnumT], enum_type: Any) -> Mapping[_EnumT, Any]:
    """Return the number of each member: that of QUANT_TYPE_QINT8 for QInt8, and so on.

    Args:
        kind: The mirror.
        enum_type: Descriptor of the contract's enum. Members without a value are left out.
    """
    prefix = enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = {
        value.name.removeprefix(prefix).replace("_", ""): value.number for value in enum_type.values
    }
    names = {member: member.name.upper().replace("_", "") for member in kind}
    return {member: known[name] for member, name in names.items() if name in known}


@functools.cache
def members(kind: type[_EnumT], enum_type: Any) -> Mapping[int, _EnumT]:
    """Return the member of each number; the inverse of `numbers`."""
    return {number: member for member, number in numbers(kind, enum_type).items()}


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _choices(oneof: Any) -> Mapping[str, str]:
    """Return the field of a oneof by the name of its message."""
    return {field.message_type.name: field.name for field in oneof.fields}


_class_of = functools.cache(GetMessageClass)


def _written(item: Any, field: Any) -> Any:
    if field.message_type is v1.TensorShape.DESCRIPTOR:
        return _shape_message(item)
    if isinstance(item, tuple) and (field.message_type or field.enum_type):
        return [_written(one, field) for one in item]
    if field.message_type is not None:
        return write(_class_of(field.message_type), item)
    if field.enum_type is not None and isinstance(item, StrEnum):
        return numbers(type(item), field.enum_type)[item]
    return item


@functools.cache
def _readers(mirror: type[Any], descriptor: Any) -> tuple[tuple[str, _Reader], ...]:
    """Return the name of each field that the message has, and how to read it."""
    hints = get_type_hints(mirror)
    return tuple(
        (field.name, _reader(field, hints[field.name], descriptor))
        for field in dataclasses.fields(mirror)
        if field.name in descriptor.fields_by_name or field.name in descriptor.oneofs_by_name
    )


def _reader(field: dataclasses.Field[Any], hint: Any, descriptor: Any) -> _Reader:
    name = field.name
    has_default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
    if name in descriptor.oneofs_by_name:
        kinds = {kind.__name__: kind for kind in get_args(hint)}
        by_field = {v: kinds[k] for k, v in _choices(descriptor.oneofs_by_name[name]).items()}
        return functools.partial(_read_choice, name, by_field)
    wire = descriptor.fields_by_name[name]
    if get_origin(hint) is tuple:
        return functools.partial(_read_repeated, wire, get_args(hint)[0])
    optional = get_origin(hint) is UnionType and NoneType in get_args(hint)
    kind = next(arg for arg in get_args(hint) if arg is not NoneType) if optional else hint
    absent = _DEFAULT if has_default else None
    return functools.partial(_read_single, wire, kind, absent, has_default or optional)


def _read_choice(name: str, kinds: Mapping[str, type[Any]], message: Any, unknown: Unknown) -> Any:
    chosen = message.WhichOneof(name)
    if chosen is None:
        raise unknown(name, 0)
    return read(kinds[chosen], getattr(message, chosen), unknown)


def _read_repeated(field: Any, kind: Any, message: Any, unknown: Unknown) -> tuple[Any, ...]:
    items = getattr(message, field.name)
    if field.message_type is not None:
        return tuple(read(kind, item, unknown) for item in items)
    if issubclass(kind, StrEnum):
        known = members(kind, field.enum_type)
        return tuple(known[item] for item in items if item in known)
    return tuple(items)


def _read_single(
    field: Any, kind: Any, absent: object, may_be: bool, message: Any, unknown: Unknown
) -> Any:
    if may_be and field.has_presence and not message.HasField(field.name):
        return absent
    value = getattr(message, field.name)
    if field.message_type is v1.TensorShape.DESCRIPTOR:
        return _shape(value)
    if field.message_type is not None:
        return read(kind, value, unknown)
    if issubclass(kind, StrEnum):
        known = members(kind, field.enum_type)
        if value not in known and not (value == 0 and may_be):
            raise unknown(f"{field.containing_type.name}.{field.name}", value)
        return known.get(value, absent)
    return value


def _shape(message: v1.TensorShape) -> _Shape:
    chosen = ((axis, axis.WhichOneof("value")) for axis in message.dimensions)
    return tuple(getattr(axis, field) if field else None for axis, field in chosen)


def _shape_message(shape: _Shape) -> v1.TensorShape:
    dimensions = [
        v1.Dimension(symbol=axis) if isinstance(axis, str) else v1.Dimension(size=axis)
        for axis in shape
    ]
    return v1.TensorShape(dimensions=dimensions)
