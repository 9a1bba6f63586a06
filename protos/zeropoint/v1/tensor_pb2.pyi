from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ElementType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ELEMENT_TYPE_UNSPECIFIED: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT8: _ClassVar[ElementType]
    ELEMENT_TYPE_INT8: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT16: _ClassVar[ElementType]
    ELEMENT_TYPE_INT16: _ClassVar[ElementType]
    ELEMENT_TYPE_INT32: _ClassVar[ElementType]
    ELEMENT_TYPE_INT64: _ClassVar[ElementType]
    ELEMENT_TYPE_STRING: _ClassVar[ElementType]
    ELEMENT_TYPE_BOOL: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT16: _ClassVar[ElementType]
    ELEMENT_TYPE_DOUBLE: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT32: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT64: _ClassVar[ElementType]
    ELEMENT_TYPE_COMPLEX64: _ClassVar[ElementType]
    ELEMENT_TYPE_COMPLEX128: _ClassVar[ElementType]
    ELEMENT_TYPE_BFLOAT16: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT8E4M3FN: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT8E4M3FNUZ: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT8E5M2: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT8E5M2FNUZ: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT4: _ClassVar[ElementType]
    ELEMENT_TYPE_INT4: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT4E2M1: _ClassVar[ElementType]
    ELEMENT_TYPE_FLOAT8E8M0: _ClassVar[ElementType]
    ELEMENT_TYPE_UINT2: _ClassVar[ElementType]
    ELEMENT_TYPE_INT2: _ClassVar[ElementType]
ELEMENT_TYPE_UNSPECIFIED: ElementType
ELEMENT_TYPE_FLOAT: ElementType
ELEMENT_TYPE_UINT8: ElementType
ELEMENT_TYPE_INT8: ElementType
ELEMENT_TYPE_UINT16: ElementType
ELEMENT_TYPE_INT16: ElementType
ELEMENT_TYPE_INT32: ElementType
ELEMENT_TYPE_INT64: ElementType
ELEMENT_TYPE_STRING: ElementType
ELEMENT_TYPE_BOOL: ElementType
ELEMENT_TYPE_FLOAT16: ElementType
ELEMENT_TYPE_DOUBLE: ElementType
ELEMENT_TYPE_UINT32: ElementType
ELEMENT_TYPE_UINT64: ElementType
ELEMENT_TYPE_COMPLEX64: ElementType
ELEMENT_TYPE_COMPLEX128: ElementType
ELEMENT_TYPE_BFLOAT16: ElementType
ELEMENT_TYPE_FLOAT8E4M3FN: ElementType
ELEMENT_TYPE_FLOAT8E4M3FNUZ: ElementType
ELEMENT_TYPE_FLOAT8E5M2: ElementType
ELEMENT_TYPE_FLOAT8E5M2FNUZ: ElementType
ELEMENT_TYPE_UINT4: ElementType
ELEMENT_TYPE_INT4: ElementType
ELEMENT_TYPE_FLOAT4E2M1: ElementType
ELEMENT_TYPE_FLOAT8E8M0: ElementType
ELEMENT_TYPE_UINT2: ElementType
ELEMENT_TYPE_INT2: ElementType

class TensorSpec(_message.Message):
    __slots__ = ("name", "element_type", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    element_type: ElementType
    shape: TensorShape
    def __init__(self, name: _Optional[str] = ..., element_type: _Optional[_Union[ElementType, str]] = ..., shape: _Optional[_Union[TensorShape, _Mapping]] = ...) -> None: ...

class TensorShape(_message.Message):
    __slots__ = ("dimensions",)
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    dimensions: _containers.RepeatedCompositeFieldContainer[Dimension]
    def __init__(self, dimensions: _Optional[_Iterable[_Union[Dimension, _Mapping]]] = ...) -> None: ...

class Dimension(_message.Message):
    __slots__ = ("size", "symbol")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    size: int
    symbol: str
    def __init__(self, size: _Optional[int] = ..., symbol: _Optional[str] = ...) -> None: ...

class TensorHeader(_message.Message):
    __slots__ = ("name", "element_type", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    element_type: ElementType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., element_type: _Optional[_Union[ElementType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...
