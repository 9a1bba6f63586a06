"""Photographs that packages carry, cut, scaled and lit anew for every seed."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from support.models import CACHE

from zeropoint.client.demo.models import Member, Wheel, fetch

SCIKIT_IMAGE = Wheel(
    "scikit-image",
    "0.26.0",
    tuple(
        Member(f"skimage/data/{name}", sha256)
        for name, sha256 in (
            (
                "astronaut.png",
                "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
            ),
            (
                "chelsea.png",
                "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
            ),
            (
                "coffee.png",
                "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
            ),
            (
                "rocket.jpg",
                "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
            ),
            (
                "motorcycle_left.png",
                "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
            ),
            (
                "ihc.png",
                "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
            ),
            (
                "retina.jpg",
                "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
            ),
        )
    ),
)
"""Sample pictures of scikit-image; the first shows a woman in front of a flag and a rocket."""

SCIKIT_LEARN = Wheel(
    "scikit-learn",
    "1.9.1",
    (
        Member(
            "sklearn/datasets/images/china.jpg",
            "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        ),
        Member(
            "sklearn/datasets/images/flower.jpg",
            "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        ),
    ),
)
"""Sample pictures of scikit-learn: a temple, and a flower."""

_FLIPPED_ABOVE = 0.5


def cuttings(count: int, side: int, first: int) -> Iterator[NDArray[np.uint8]]:
    """Yield square parts of photographs.

    Args:
        count: How many.
        side: Rows and columns.
        first: Seed of the first one; the others follow.

    Yields:
        uint8 [side, side, 3], RGB.
    """
    photographs = _photographs()
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        picture = photographs[seed % len(photographs)]
        edge = round(min(picture.size) * random.uniform(0.4, 1.0))
        left, top = (int(random.integers(size - edge + 1)) for size in picture.size)
        yield _lit(picture.crop((left, top, left + edge, top + edge)), side, random)


def faces(count: int, side: int, first: int) -> Iterator[NDArray[np.uint8]]:
    """Yield scenes with one to three faces of the astronaut on parts of other photographs.

    Args:
        count: How many.
        side: Rows and columns.
        first: Seed of the first one; the others follow.

    Yields:
        uint8 [side, side, 3], RGB.
    """
    portrait = _photographs()[0].crop((120, 0, 340, 260))
    for seed, ground in enumerate(cuttings(count, side, 7 * first + 1), first):
        random = np.random.default_rng([seed, 1])
        scene = Image.fromarray(ground)
        for _ in range(int(random.integers(1, 4))):
            width = int(random.integers(side // 5, side // 2))
            part = _lit(portrait, width, random)
            scene.paste(Image.fromarray(part), tuple(random.integers(0, side - width, 2).tolist()))
        yield np.asarray(scene)


def _lit(picture: Image.Image, side: int, random: np.random.Generator) -> NDArray[np.uint8]:
    scaled = picture.resize((side, side), Image.Resampling.BILINEAR)
    if random.uniform() > _FLIPPED_ABOVE:
        scaled = scaled.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scaled = ImageEnhance.Brightness(scaled).enhance(random.uniform(0.6, 1.3))
    return np.asarray(ImageEnhance.Contrast(scaled).enhance(random.uniform(0.7, 1.2)))


@cache
def _photographs() -> tuple[Image.Image, ...]:
    folders = [(fetch(wheel, CACHE), wheel) for wheel in (SCIKIT_IMAGE, SCIKIT_LEARN)]
    paths: list[Path] = [folder / part.name for folder, wheel in folders for part in wheel.members]
    return tuple(Image.open(path).convert("RGB") for path in paths)
