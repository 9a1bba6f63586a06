"""Characters drawn one by one, turned and crossed by lines, as captchas are."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zeropoint.client.demo.pages import FONTS

DIGITS = "0123456789"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Captcha:
    """A picture and what is on it.

    Attributes:
        picture: uint8 [height, width, 3], RGB.
        text: Its characters from left to right.
    """

    picture: NDArray[np.uint8]
    text: str


def captchas(
    count: int, first: int, size: tuple[int, int], characters: str, lengths: tuple[int, int]
) -> Iterator[Captcha]:
    """Draw captchas.

    Args:
        count: How many.
        first: Seed of the first; the others follow.
        size: Width and height.
        characters: To choose from.
        lengths: Fewest and most characters.
    """
    for seed in range(first, first + count):
        random = np.random.default_rng([seed, 7])
        length = int(random.integers(lengths[0], lengths[1] + 1))
        yield _draw(random, size, "".join(random.choice(list(characters), length)))


def _draw(random: np.random.Generator, size: tuple[int, int], text: str) -> Captcha:
    width, height = size
    picture = Image.new("RGB", size, tuple(random.integers(215, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 4))):
        ends = [(int(random.integers(width)), int(random.integers(height))) for _ in range(2)]
        draw.line(ends, fill=tuple(random.integers(120, 210, 3).tolist()), width=1)
    room = width / (len(text) + 0.6)
    for index, character in enumerate(text):
        font = _font(str(random.choice(FONTS)), int(height * random.uniform(0.55, 0.75)))
        tile = Image.new("L", (height, height))
        middle = (height / 2, height / 2)
        ImageDraw.Draw(tile).text(middle, character, fill=255, font=font, anchor="mm")
        tile = tile.rotate(float(random.uniform(-18, 18)), Image.Resampling.BILINEAR)
        left = round((index + 0.8) * room - height / 2)
        top = int(random.integers(-height // 12, height // 12 + 1))
        picture.paste(tuple(random.integers(0, 110, 3).tolist()), (left, top), tile)
    grain = random.normal(0, 6, (height, width, 3))
    values = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)
    return Captcha(values, text)


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    outlines = (files("font_roboto") / "files" / f"Roboto-{face}.ttf").read_bytes()
    return ImageFont.truetype(io.BytesIO(outlines), size)
