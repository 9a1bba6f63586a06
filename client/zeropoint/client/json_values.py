"""Values of reports as JSON has them."""

import dataclasses
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


def to_json_values(value: Any) -> Any:
    """Return a value of this module as dicts, lists, strings, numbers, booleans and None.

    Bytes become hexadecimal digits; what JSON cannot write as a number becomes "Infinity",
    "-Infinity" or "NaN", as in the JSON form of Protocol Buffers.
    """
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_json_values(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json_values(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value.value if isinstance(value, StrEnum) else value
