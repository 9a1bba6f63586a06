"""What of a candidate's files its client has already, in the model or in earlier candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeropoint import v1
from zeropoint.engine.files import Span, model_spans
from zeropoint.engine.wire import WireError

MOST_KEPT = 3
"""Candidates whose files a client keeps, beside the one that it is sent."""

_LEAST_BYTES = 64  # shorter copies are hardly shorter told than sent
_MOST_COPIES = 1 << 16  # of one file, so that the message stays below 4 MiB
_SENT = 0  # in place of a candidate's number: the model that was sent


@dataclass(frozen=True, slots=True)
class _Place:
    """Where bytes are: in a file of a candidate."""

    candidate: int
    file: int
    offset: int


_Content = Mapping[bytes, _Place]
"""Where the parts of one candidate are, by their digests."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Bytes from `begin` to `end` that are to be had from `source` on."""

    begin: int
    end: int
    source: _Place

    @property
    def behind(self) -> _Place:
        """Where the bytes behind it are if it goes on."""
        return replace(self.source, offset=self.source.offset + self.end - self.begin)


class SharedParts:
    """Knows the content of the files that a client has, and finds it again in others.

    The first candidate and the latest ones are remembered: the first is what was asked for, from
    which most others differ in a few nodes.
    """

    def __init__(self, model: Sequence[Path]) -> None:
        """Begin with the files of the model that the client has sent."""
        self._known: dict[int, _Content] = {_SENT: _content(_SENT, _spans(model))}

    def take(
        self, number: int, files: Sequence[Path]
    ) -> tuple[list[list[v1.CopiedPart]], list[int]]:
        """Remember the candidate of a number, one that is above all before.

        Returns:
            The copies in each of its files, and the numbers of those that are forgotten, of which
            there are no copies any more.
        """
        kept = sorted(set(self._known) - {_SENT})
        forgotten = kept[1 : -(MOST_KEPT - 1)]
        for old in forgotten:
            del self._known[old]
        spans = _spans(files)
        copies = [_copies(part, self._known) for part in spans]
        self._known[number] = _content(number, spans)
        return copies, forgotten


class _Runs:
    """Joins what is known of one file, part by part, to runs that are as long as they can be."""

    def __init__(self, known: Mapping[int, _Content]) -> None:
        self.found: list[_Run] = []
        self._known = known

    def add(self, span: Span) -> None:
        """Take the next part; where it is new, the tensors in it."""
        last = self.found[-1] if self.found else None
        source = self._source(span, last)
        if source is None:
            for inner in span.inner:
                self.add(inner)
        elif last is not None and (last.end, last.behind) == (span.begin, source):
            self.found[-1] = replace(last, end=span.end)
        else:
            self.found.append(_Run(span.begin, span.end, source))

    def _source(self, span: Span, last: _Run | None) -> _Place | None:
        """Return where the bytes of a part are, rather in what the last one was found in."""
        first = [] if last is None else [self._known[last.source.candidate]]
        for content in (*first, *self._known.values()):
            if span.digest in content:
                return content[span.digest]
        return None


def _copies(spans: Sequence[Span], known: Mapping[int, _Content]) -> list[v1.CopiedPart]:
    runs = _Runs(known)
    for span in spans:
        runs.add(span)
    long = [run for run in runs.found if run.end - run.begin >= _LEAST_BYTES]
    longest = sorted(long, key=lambda run: run.begin - run.end)[:_MOST_COPIES]
    return [
        v1.CopiedPart(
            offset=run.begin,
            size=run.end - run.begin,
            candidate=run.source.candidate,
            file=run.source.file,
            source_offset=run.source.offset,
        )
        for run in sorted(longest, key=lambda run: run.begin)
    ]


def _spans(files: Sequence[Path]) -> list[list[Span]]:
    """Return the parts of files; of what is no ONNX model there are none."""
    try:
        return model_spans(files)
    except WireError:
        return [[] for _ in files]


def _content(candidate: int, spans: Sequence[Sequence[Span]]) -> _Content:
    return {
        span.digest: _Place(candidate, span.file, span.begin)
        for part in spans
        for whole in part
        for span in (*whole.inner, whole)
    }
