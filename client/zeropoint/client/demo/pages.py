"""Draws pages of text: the same seed gives the same page."""

import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from zeropoint.client.demo.components import Box
from zeropoint.client.demo.images import Image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FONTS = ("Regular", "Medium", "Bold", "Light")
"""Faces of Roboto (Apache-2.0), as the package font-roboto ships them."""
WIDTH, HEIGHT = 640, 480
"""Size of a page in pixels."""
MARGIN = 24
"""Pixels that stay free around the text."""
PADDING = 6
"""Pixels between the ink of a line and its box, about as many as a detector leaves."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text and the box around it, `PADDING` included."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Page:
    """A picture, uint8 [480, 640, 3] in RGB, and what is written on it from top to bottom."""

    image: Image
    lines: tuple[Line, ...]

    @property
    def text(self) -> list[str]:
        """The lines of text."""
        return [line.text for line in self.lines]


def pages(count: int, *, first: int = 0) -> Iterator[Page]:
    """Draw the pages of `count` consecutive seeds."""
    return (page(seed) for seed in range(first, first + count))


def page(seed: int) -> Page:
    """Draw one page: words and numbers in one face, on light or dark paper, with grain.

    Args:
        seed: Any integer that is not negative.
    """
    from PIL import Image as Pictures  # not part of the base install
    from PIL import ImageDraw

    random = np.random.default_rng(seed)
    paper = _paper(random)
    picture = Pictures.fromarray(paper)
    draw = ImageDraw.Draw(picture)
    ink = _ink(random, paper)
    face = FONTS[int(random.integers(len(FONTS)))]
    lines: list[Line] = []
    top = MARGIN
    while True:
        font = _font(face, int(random.integers(20, 41)))
        text = _sentence(random, font)
        left = MARGIN + int(random.integers(0, 30))
        x0, y0, x1, y1 = (round(edge) for edge in draw.textbbox((left, top), text, font=font))
        if y1 > HEIGHT - MARGIN:
            break
        draw.text((left, top), text, font=font, fill=ink)
        box = Box(x0 - PADDING, y0 - PADDING, x1 + PADDING, y1 + PADDING)
        lines.append(Line(text.replace("  ", " "), box))
        top = y1 + int(random.integers(14, 30))
    return Page(_grain(random, np.asarray(picture)), tuple(lines))


def _font(face: str, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    outlines = (files("font_roboto") / "files" / f"Roboto-{face}.ttf").read_bytes()
    return ImageFont.truetype(io.BytesIO(outlines), size, layout_engine=ImageFont.Layout.BASIC)


def _sentence(random: np.random.Generator, font: "FreeTypeFont") -> str:
    """Words and numbers, two spaces apart: Roboto's own space is narrow even for people."""
    words = [_word(random)]
    for _ in range(int(random.integers(1, 6))):
        number = random.random() < 0.2 and not words[-1].isdigit()
        longer = [*words, _number(random) if number else _word(random)]
        if font.getlength("  ".join(longer)) > WIDTH - 2 * MARGIN - 30:
            break
        words = longer
    return "  ".join(words)


@functools.cache
def _words() -> tuple[str, ...]:
    return tuple((files(__package__) / "words.txt").read_text(encoding="utf-8").split())


def _word(random: np.random.Generator) -> str:
    words = _words()
    word = words[int(random.integers(len(words)))]
    return word.capitalize() if random.random() < 0.25 else word


def _number(random: np.random.Generator) -> str:
    return str(random.integers(100, 10 ** int(random.integers(3, 6))))


def _paper(random: np.random.Generator) -> Image:
    """A gentle slope between two close tones, light on two pages of three."""
    tone = random.integers(190, 250, 3) if random.random() < 0.67 else random.integers(10, 70, 3)
    slope = np.linspace(0, random.uniform(-25, 25), WIDTH)[None, :, None]
    slope = slope + np.linspace(0, random.uniform(-25, 25), HEIGHT)[:, None, None]
    return np.clip(tone + slope, 0, 255).astype(np.uint8)


def _ink(random: np.random.Generator, paper: Image) -> tuple[int, int, int]:
    low, high = (0, 70) if paper.mean() > 127 else (190, 256)
    red, green, blue = random.integers(low, high, 3).tolist()
    return red, green, blue


def _grain(random: np.random.Generator, image: Image) -> Image:
    noise = random.normal(0, random.uniform(0, 10), image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
