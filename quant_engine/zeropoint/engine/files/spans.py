"""The parts of a model's files by their content, so that files can be told by what they share."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from zeropoint.engine.wire import CHILDREN, Message, fields, map_file

# Field numbers of onnx.proto.
_GRAPH = 7
_FLOAT_DATA, _RAW_DATA, _EXTERNAL_DATA = 4, 9, 13
_KEY, _VALUE = 1, 2

_SHORTEST_INNER = 256
"""Bytes of a tensor's data below which they are no part of their own."""


class Span(NamedTuple):
    """A part of a file.

    Attributes:
        file: Index of the file.
        begin: Where it begins.
        end: Where it ends.
        digest: Says what it holds: equal for equal bytes.
        inner: Data of tensors in it, in the order of their places; a digest of theirs is that of
            the same data anywhere.
    """

    file: int
    begin: int
    end: int
    digest: bytes
    inner: tuple["Span", ...] = ()


def model_spans(files: Sequence[Path]) -> list[list[Span]]:
    """Return the parts of each file of a model, in the order of their places.

    Those of the ONNX file are the fields of its graph (nodes, weights, ...) and what it has beside
    it; those of a data file are tensors. What lies between is of no part.

    Args:
        files: The ONNX file first, then its external data, in its folder or below.

    Raises:
        WireError: the first file is no ONNX model.
    """
    return _Reader(files).read()


class _Reader:
    """Reads one model."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._views = [map_file(file) for file in files]
        folder = files[0].parent
        self._indices = {file.relative_to(folder).as_posix(): at for at, file in enumerate(files)}
        self._found: list[list[Span]] = [[] for _ in files]

    def read(self) -> list[list[Span]]:
        """Return the parts of all files."""
        model = self._views[0]
        for field in fields(model):
            if field.number == _GRAPH and field.is_bytes:
                self._parts(model[field.begin : field.end], field.begin)
            elif field.is_bytes:
                digest = hashlib.sha256(model[field.start : field.end]).digest()
                self._found[0].append(Span(0, field.start, field.end, digest))
        return [sorted(set(found)) for found in self._found]

    def _parts(self, graph: memoryview, base: int) -> None:
        """Take note of the fields of a graph that begins at `base`."""
        for field in fields(graph):
            inner: list[Span] = []
            digest = hashlib.sha256(graph[field.start : field.begin])
            content = graph[field.begin : field.end]
            kind = CHILDREN[Message.GRAPH].get(field.number) if field.is_bytes else None
            if kind is None:
                digest.update(content)
            else:
                digest.update(self._digest(content, kind, base + field.begin, inner))
            begin, end = base + field.start, base + field.end
            self._found[0].append(Span(0, begin, end, digest.digest(), tuple(inner)))

    def _digest(self, view: memoryview, kind: Message, base: int, inner: list[Span]) -> bytes:
        """Return the digest of a message, in which data of tensors count by theirs."""
        digest = hashlib.sha256()
        kept = 0
        outside: dict[str, str] = {}
        for field in fields(view):
            content = view[field.begin : field.end]
            if kind is Message.TENSOR and field.number == _EXTERNAL_DATA:
                outside |= _entry(content)
            child = CHILDREN.get(kind, {}).get(field.number)
            is_data = kind is Message.TENSOR and field.number in (_FLOAT_DATA, _RAW_DATA)
            if not field.is_bytes or not (is_data or child) or len(content) < _SHORTEST_INNER:
                continue
            digest.update(view[kept : field.begin])
            kept = field.end
            if child is not None:
                digest.update(self._digest(content, child, base + field.begin, inner))
                continue
            found = hashlib.sha256(content).digest()
            inner.append(Span(0, base + field.begin, base + field.end, found))
            digest.update(found)
        digest.update(view[kept:])
        self._outside(outside)
        return digest.digest()

    def _outside(self, told: Mapping[str, str]) -> None:
        """Take note of a tensor in a data file, where it is told that there is one."""
        file = self._indices.get(told.get("location", ""))
        if file is None:
            return
        view = self._views[file]
        begin = int(told.get("offset") or 0)
        end = min(len(view), begin + int(told.get("length") or len(view)))
        if begin < end:
            self._found[file].append(
                Span(file, begin, end, hashlib.sha256(view[begin:end]).digest())
            )


def _entry(view: memoryview) -> dict[str, str]:
    """Return a StringStringEntryProto as a dictionary of one entry."""
    told = {
        field.number: bytes(view[field.begin : field.end]).decode(errors="replace")
        for field in fields(view)
    }
    return {told.get(_KEY, ""): told.get(_VALUE, "")}
