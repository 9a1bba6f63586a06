"""The calibration cache: a file from which a model is quantized again without data."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.client.batches import BatchSource
from zeropoint.client.errors import DataError, OptionError
from zeropoint.client.model_files import SourceFile, source_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrating:
    """Where the statistics of one job come from, and where they go.

    Attributes:
        source: Batches; empty where the statistics are known.
        verification: Batches that only serve to verify the result.
        known: The calibration file to use instead.
        kept: Where to put the calibration; None where it is not to be kept.
    """

    source: BatchSource
    verification: BatchSource = ()
    known: SourceFile | None = None
    kept: Path | None = None


def calibrating(
    source: BatchSource | None,
    cache: str | os.PathLike[str] | None,
    verification: BatchSource = (),
) -> Calibrating:
    """Choose between data and a calibration cache.

    Args:
        source: The user's batches; not needed, and not touched, where the cache is there.
        cache: Path of the cache: used where it is there, else written; None: no cache.
        verification: Batches that only serve to verify the result.

    Raises:
        DataError: the cache is there but cannot be read.
        OptionError: there are neither batches nor a cache.
    """
    path = None if cache is None else Path(cache)
    if path is not None and path.exists():
        return Calibrating(source=(), verification=verification, known=_known(path))
    if source is None:
        where = "no calibration_cache_path" if path is None else f"{path} is not there yet"
        message = (
            f"There is no calibration data, and {where}. Give a calibration_data_reader (--data)."
        )
        raise OptionError("OPTION_INVALID", message, {"option": "calibration_data_reader"})
    return Calibrating(source=source, verification=verification, kept=path)


def check_apart(
    cache: Calibrating, files: Sequence[SourceFile], output: str | os.PathLike[str]
) -> None:
    """Refuse a cache that is a file of the model, or the result of an earlier job.

    Args:
        cache: What was chosen.
        files: The user's model.
        output: Where the result goes.

    Raises:
        OptionError: the cache has one of their paths.
    """
    if cache.known is None:
        return
    path = cache.known.path
    what = None
    if any(file.path.samefile(path) for file in files):
        what = "is a file of the model"
    elif Path(output).exists() and path.samefile(output):
        what = "is the model_output, too"
    if what is not None:
        message = (
            f"calibration_cache_path {path} {what}; the cache is a file of its own, with the "
            "statistics of the model: choose another path for it."
        )
        raise OptionError("OPTION_CONFLICT", message, {"option": "calibration_cache_path"})


def _known(path: Path) -> SourceFile:
    try:
        known = source_file(path, path.name)
        with path.open("rb") as file:
            foreign = file.read(1) == b"{"
    except OSError as error:
        message = f"The calibration cache {path} cannot be read: {error.strerror or error}."
        raise DataError("CALIBRATION_INVALID", message, {"path": str(path)}) from error
    if foreign:
        message = (
            f"{path} looks like a cache of onnxruntime.quantization, which holds the ranges of one "
            "method and no statistics. Calibrate with data, into another file."
        )
        raise DataError("CALIBRATION_INVALID", message, {"path": str(path)})
    return known
