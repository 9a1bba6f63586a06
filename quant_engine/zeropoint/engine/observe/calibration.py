"""A finished set of statistics as a file: from it the same model is quantized again without data.

`docs/calibration-format.md` has the format byte by byte.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from zeropoint.engine.errors import CalibrationError
from zeropoint.engine.report import CalibrationFigures, NonFiniteTensor
from zeropoint.engine.shortage import shortage_of
from zeropoint.sketch import Sketch, SketchFormatError

MAGIC: Final = b"ZPCL"
VERSION: Final = 1
MOST_LISTED: Final = 64
"""Numbers of batches listed for a tensor."""

_HEADER: Final = struct.Struct("<4sB32s32sQQI")
_LENGTH: Final = struct.Struct("<I")
_FLAGS: Final = struct.Struct("<BB")
_NUMBER: Final = struct.Struct("<Q")
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """What was seen of one tensor.

    Attributes:
        sketch: Its values.
        own: Whether the tensor is one of the user's model. Another was made in preparing it, and
            its name means the same only where the model is prepared in the same way.
        non_finite_batches: Numbers of the batches that brought NaN or infinities, ascending; the
            first 64.
    """

    sketch: Sketch
    own: bool = True
    non_finite_batches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a model's activations were on calibration data.

    Attributes:
        batches: Batches counted.
        rejected: Batches rejected.
        tensors: Statistics by name in the prepared model.
    """

    batches: int
    rejected: int
    tensors: Mapping[str, TensorStatistics]

    def figures(self) -> CalibrationFigures:
        """Return what is told about it."""
        return CalibrationFigures(
            batches=self.batches,
            rejected=self.rejected,
            tensors=len(self.tensors),
            non_finite=tuple(
                NonFiniteTensor(
                    name=name,
                    nan=tensor.sketch.nan,
                    positive_infinity=tensor.sketch.positive_infinity,
                    negative_infinity=tensor.sketch.negative_infinity,
                    batches=tensor.non_finite_batches,
                )
                for name, tensor in self.tensors.items()
                if tensor.non_finite_batches
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Statistics, and whose they are.

    Attributes:
        model_sha256: SHA-256 of the model, external data included: `LoadedModel.content_sha256`.
        preparation: SHA-256 of the prepared model that was observed.
        statistics: What was seen.
    """

    model_sha256: bytes
    preparation: bytes
    statistics: Statistics

    def to_bytes(self) -> bytes:
        """Return the file; equal calibrations have equal bytes."""
        seen = self.statistics
        parts = [
            _HEADER.pack(
                MAGIC,
                VERSION,
                self.model_sha256,
                self.preparation,
                seen.batches,
                seen.rejected,
                len(seen.tensors),
            )
        ]
        for name, tensor in sorted((name.encode(), t) for name, t in seen.tensors.items()):
            parts += _tensor_parts(name, tensor)
        content = b"".join(parts)
        return content + hashlib.sha256(content).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a file written by anyone: nothing is believed that was not checked.

        Raises:
            CalibrationError: CALIBRATION_INVALID, `data` is not what `to_bytes` gives.
        """
        reader = _Reader(_checked_content(data))
        _, _, model, preparation, batches, rejected, count = reader.unpack(_HEADER)
        tensors = [_read_tensor(reader) for _ in range(count)]
        if reader.left:
            raise _invalid(f"{reader.left} bytes follow the last tensor")
        if any(name >= following for (name, _), (following, _) in pairwise(tensors)):
            raise _invalid("the tensors are not in the order of their names")
        if not batches:
            raise _invalid("it has no batches")
        statistics = Statistics(
            batches=batches,
            rejected=rejected,
            tensors={_text(name): tensor for name, tensor in tensors},
        )
        return cls(model_sha256=model, preparation=preparation, statistics=statistics)

    def require_model(self, sha256: bytes) -> None:
        """Refuse another model.

        Raises:
            CalibrationError: CALIBRATION_MISMATCH.
        """
        if sha256 != self.model_sha256:
            ours, theirs = self.model_sha256.hex()[:12], sha256.hex()[:12]
            raise CalibrationError(
                "CALIBRATION_MISMATCH",
                f"The calibration belongs to the model with SHA-256 {ours}..., this one has "
                f"{theirs}.... Calibrate this model with data, into another file.",
                calibrated=self.model_sha256.hex(),
                model=sha256.hex(),
            )

    def require_tensors(self, names: Iterable[str], preparation: bytes) -> None:
        """Refuse a plan that needs tensors of a prepared model which were not observed.

        Raises:
            CalibrationError: CALIBRATION_INCOMPLETE.
        """
        seen, same = self.statistics.tensors, preparation == self.preparation
        missing = [name for name in names if name not in seen or not (same or seen[name].own)]
        if missing:
            raise CalibrationError(
                "CALIBRATION_INCOMPLETE",
                f"The calibration has no statistics of the tensor {missing[0]!r}, which these "
                f"options need ({len(missing)} are missing). Calibrate with data once more with "
                "these options, into a new file.",
                tensor=missing[0],
                missing=len(missing),
            )


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        CalibrationError: CALIBRATION_INVALID, it cannot be read or is damaged.
    """
    try:
        return Calibration.from_bytes(path.read_bytes())
    except OSError as error:
        invalid = _invalid(f"it cannot be read: {error.strerror}")
        raise shortage_of(error) or invalid from error


def _tensor_parts(name: bytes, tensor: TensorStatistics) -> list[bytes]:
    sketch, batches = tensor.sketch.to_bytes(), tensor.non_finite_batches
    return [
        _LENGTH.pack(len(name)),
        name,
        _FLAGS.pack(tensor.own, len(batches)),
        *map(_NUMBER.pack, batches),
        _LENGTH.pack(len(sketch)),
        sketch,
    ]


def _checked_content(data: bytes) -> memoryview:
    """Return what stands before the digest."""
    if data[: len(MAGIC)] != MAGIC or len(data) < _HEADER.size + _DIGEST_BYTES:
        raise _invalid("it is none, or cut off")
    if data[len(MAGIC)] != VERSION:
        raise _invalid(f"its version {data[len(MAGIC)]} is unknown; {VERSION} is understood")
    content = memoryview(data)[:-_DIGEST_BYTES]
    if hashlib.sha256(content).digest() != data[-_DIGEST_BYTES:]:
        raise _invalid("its SHA-256 does not agree: it is damaged or cut off")
    return content


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    @property
    def left(self) -> int:
        return len(self._data)

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _invalid("a tensor is cut off")
        taken, self._data = bytes(self._data[:size]), self._data[size:]
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))


def _read_tensor(reader: _Reader) -> tuple[bytes, TensorStatistics]:
    (length,) = reader.unpack(_LENGTH)
    name = reader.take(length)
    own, listed = reader.unpack(_FLAGS)
    batches = tuple(reader.unpack(_NUMBER)[0] for _ in range(listed))
    (length,) = reader.unpack(_LENGTH)
    try:
        sketch = Sketch.from_bytes(reader.take(length))
    except SketchFormatError as error:
        raise _invalid(f"the statistics of {_text(name)!r} are {error}") from error
    if own > 1 or listed > MOST_LISTED or any(a >= b for a, b in pairwise((0, *batches))):
        raise _invalid(f"what it says of {_text(name)!r} is malformed")
    if bool(batches) != (sketch.elements > sketch.finite):
        raise _invalid(f"the batches with NaN or infinities of {_text(name)!r} do not agree")
    return name, TensorStatistics(sketch=sketch, own=bool(own), non_finite_batches=batches)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise _invalid("the name of a tensor is no UTF-8") from error


def _invalid(why: str) -> CalibrationError:
    return CalibrationError(
        "CALIBRATION_INVALID",
        f"The calibration file cannot be used: {why}. Calibrate with data, into another file.",
    )
