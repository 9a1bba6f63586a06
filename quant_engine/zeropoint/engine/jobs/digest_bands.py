"""Which batches are counted in bands of their own, so that they can still be held out.

The SHA-256 of half of all batches begins with a one bit: they are in the lowest band. That of a
quarter begins with one zero bit, of an eighth with two, and so on, each a band further up. Batches
of several samples, of which there are less, have bands by the four bits behind that, too.

What can be held out are the batches of a band and of all above, for these are the first ones in the
order of their digests. As batches come, bands that are too many for that are given up; what remains
depends on the set of all batches alone.
"""

from dataclasses import dataclass, field
from typing import Final

_SPLIT: Final = 16
_SPLIT_FROM: Final = 4  # samples of a batch
_MOST_ZEROS: Final = 32
_BITS: Final = 64
_LARGE: Final = 2 * _SPLIT  # bands below hold half or a quarter of all
_LEAST_BATCHES: Final = 2


def band_of(digest: bytes, samples: int) -> int:
    """Return the number of the band of a batch of so many samples."""
    value = int.from_bytes(digest[: _BITS // 8])
    zeros = min(_MOST_ZEROS, _BITS - value.bit_length())
    if samples < _SPLIT_FROM:
        return zeros * _SPLIT
    following = (value << (zeros + 1) >> (_BITS - 4)) % _SPLIT
    return zeros * _SPLIT + _SPLIT - 1 - following


@dataclass(slots=True)
class _Band:
    digests: set[bytes] = field(default_factory=set)
    distinct_samples: int = 0
    samples: int = 0
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Upper:
    """A band and all above.

    Attributes:
        first: The number of the lowest.
        distinct: Distinct batches.
        distinct_samples: Samples in those.
        samples: Samples, copies counted.
        batches: Batches, copies counted.
    """

    first: int
    distinct: int
    distinct_samples: int
    samples: int
    batches: int


class DigestBands:
    """The bands that are still apart.

    Attributes:
        least: The lowest of them.
    """

    def __init__(self, most: int) -> None:
        """Start with all of them, empty.

        Args:
            most: Samples that are held out at most, where they are more than one batch.
        """
        self.least = 0
        self._most = most
        self._bands: dict[int, _Band] = {}
        self._whole: set[int] = set()  # numbers of zero bits of batches whose band has no others

    def add(self, digest: bytes, samples: int) -> None:
        """Take a batch that was counted; bands that are too much are given up."""
        number = band_of(digest, samples)
        if samples < _SPLIT_FROM:
            self._whole.add(number // _SPLIT)
        if number >= self.least:
            band = self._bands.setdefault(number, _Band())
            if digest not in band.digests:
                band.digests.add(digest)
                band.distinct_samples += samples
            band.samples += samples
            band.batches += 1
        while self._is_too_much(self.least) or not self._may_begin(self.least):
            self.least += 1
        self._bands = {n: band for n, band in self._bands.items() if n >= self.least}

    def uppers(self) -> tuple[Upper, ...]:
        """Return what may be held out, the most first."""
        firsts = {
            number if self._may_begin(number) else number - number % _SPLIT
            for number in self._bands
        }
        return tuple(self._upper(number) for number in sorted(firsts))

    def _may_begin(self, first: int) -> bool:
        """Whether a band and all above hold the first batches, by their digests."""
        return first % _SPLIT == 0 or first // _SPLIT not in self._whole

    def _upper(self, first: int) -> Upper:
        bands = [band for number, band in self._bands.items() if number >= first]
        return Upper(
            first,
            sum(len(band.digests) for band in bands),
            sum(band.distinct_samples for band in bands),
            sum(band.samples for band in bands),
            sum(band.batches for band in bands),
        )

    def _is_too_much(self, first: int) -> bool:
        following = (first // _SPLIT + 1) * _SPLIT  # with one zero bit more
        if first < _LARGE and self._upper(following).distinct >= _LEAST_BATCHES:
            return True
        upper = self._upper(first)
        return upper.distinct > 1 and upper.distinct_samples > self._most
