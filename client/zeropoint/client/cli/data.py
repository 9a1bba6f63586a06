"""Calibration data named on the command line: files of numpy, or a reader of the user's."""

import importlib
import inspect
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.client.batches import Batch, BatchSource
from zeropoint.client.errors import DataError, OptionError

SAMPLE_SUFFIXES = (".npy", ".npz")


def open_data(spec: str, batch_size: int | None) -> BatchSource:
    """Return the batches that `--data` names.

    Args:
        spec: An .npz or .npy file, whose first axis is that of the samples; a folder of them, a
            batch a file, in the order of their names; or "module:attribute", a reader, or what
            makes one when called.
        batch_size: Samples in a batch of a file; None: 1.

    Raises:
        DataError: there is no such data.
        OptionError: `batch_size` is given where the batches are already made.
    """
    path = Path(spec)
    if path.is_file() and path.suffix in SAMPLE_SUFFIXES:
        return SampleFile(path, 1 if batch_size is None else batch_size)
    if batch_size is not None:
        message = "--batch-size is for one .npz or .npy file; elsewhere batches are as they are."
        raise OptionError("OPTION_CONFLICT", message, {"option": "batch_size"})
    if path.is_dir():
        return BatchFolder(path)
    if ":" in spec and not path.exists():
        return _user_reader(spec)
    message = (
        f"{spec} is no calibration data: give an .npz or .npy file, a folder of them, "
        "or module:attribute naming a reader."
    )
    raise DataError("DATA_INVALID", message, {"data": spec})


class SampleFile:
    """Batches cut from the arrays of one file, along their first axis."""

    def __init__(self, path: Path, batch_size: int) -> None:
        """Open a file.

        Args:
            path: An .npz file with an array for each input, or an .npy file for the only input.
            batch_size: Samples in a batch; the last one may be smaller.

        Raises:
            DataError: the file cannot be read, or its arrays have not the same number of samples.
        """
        self._batch_size = batch_size
        content = _load(path)
        self._arrays = content if isinstance(content, Mapping) else {"": content}
        self._alone = not isinstance(content, Mapping)
        shapes = {name: array.shape for name, array in self._arrays.items()}
        lengths = {shape[0] if shape else 0 for shape in shapes.values()}
        if len(lengths) != 1 or 0 in lengths:
            message = (
                f"The arrays of {path} must have the samples along their first axis, all the same "
                f"number of them; the shapes are {shapes}."
            )
            raise DataError("DATA_INVALID", message, {"data": str(path)})
        self._samples = lengths.pop()

    def __len__(self) -> int:
        return -(-self._samples // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, self._samples, self._batch_size):
            cut = slice(start, start + self._batch_size)
            batch = {name: array[cut] for name, array in self._arrays.items()}
            yield np.asarray(batch[""]) if self._alone else batch


class BatchFolder:
    """Batches that stand each in a file of its own; each is read when its turn comes."""

    def __init__(self, folder: Path) -> None:
        """List a folder.

        Args:
            folder: With .npz files, an array for each input, or .npy files for the only input.

        Raises:
            DataError: it holds neither.
        """
        self._paths = sorted(path for path in folder.iterdir() if path.suffix in SAMPLE_SUFFIXES)
        if not self._paths:
            message = f"The folder {folder} holds neither .npy nor .npz files."
            raise DataError("DATA_INVALID", message, {"data": str(folder)})

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Batch]:
        for path in self._paths:
            content = _load(path)
            yield content if isinstance(content, Mapping) else np.asarray(content)


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Return the array of an .npy file, left on the disk, or the arrays of an .npz file."""
    try:
        if path.suffix == ".npy":
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        message = f"{path} cannot be read as numpy data: {error}{_advice(error)}"
        raise DataError("DATA_INVALID", message, {"data": str(path)}) from error


def _advice(error: Exception) -> str:
    """Tell what to do about arrays of objects, which are pickled: loading them could run code."""
    objects = isinstance(error, ValueError) and "allow_pickle" in str(error)
    return ". Save text as numpy.str_: array.astype(str)." if objects else ""


def _user_reader(spec: str) -> BatchSource:
    """Import what `spec` names, from the current folder too; call it if it makes a reader."""
    module_name, _, attribute = spec.partition(":")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string is wanted
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        message = f"{spec} cannot be found: {error}"
        raise DataError("DATA_INVALID", message, {"data": spec}) from error
    is_reader = hasattr(found, "get_next") or hasattr(found, "__iter__")
    makes_reader = inspect.isclass(found) or (callable(found) and not is_reader)
    source: BatchSource = found() if makes_reader else found
    return source
