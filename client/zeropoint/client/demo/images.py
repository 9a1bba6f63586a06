"""Pictures as arrays: uint8 [height, width, 3] in RGB."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from zeropoint.client.demo.components import Box

Image: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]


def resize(image: Image, height: int, width: int) -> Image:
    """Resample with a triangle filter, widened where the picture shrinks so nothing aliases.

    Args:
        image: uint8 [h, w, 3].
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        uint8 [height, width, 3].
    """
    rows = _weights(image.shape[0], height)
    columns = _weights(image.shape[1], width)
    planes = image.transpose(2, 0, 1).astype(np.float32)
    resampled = rows @ planes @ columns.T
    return np.rint(resampled).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def crop(image: Image, box: Box) -> Image:
    """Return the part of a picture inside a box; the box must lie within it."""
    return image[box.top : box.bottom, box.left : box.right]


def planes(image: Image) -> Floats:
    """Return what PP-OCR models take: float32 [3, height, width], BGR, in -1..1."""
    scaled: Floats = image[:, :, ::-1].astype(np.float32) / 127.5 - 1
    return scaled.transpose(2, 0, 1)


def _weights(source: int, target: int) -> Floats:
    """Return float32 [target, source]; each row sums to 1."""
    ratio = source / target
    centers = (np.arange(target) + 0.5) * ratio - 0.5
    reach = max(ratio, 1.0)
    distance = np.abs(np.arange(source) - centers[:, None]) / reach
    weights = np.maximum(1 - distance, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
