"""The arrays that an output of a model is: itself, or those of a sequence or a map."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def parts_of(output: Any) -> Iterator[NDArray[np.generic]]:
    """Return the arrays of an output in order.

    A map is the array of its values in the order of its keys; a sequence of maps with the same
    keys, as classifiers give one for each sample, is one array of a row each.
    """
    if isinstance(output, dict):
        yield _values(output)
    elif isinstance(output, list) and _are_rows(output):
        yield np.stack([_values(item) for item in output])
    elif isinstance(output, list):
        for item in output:
            yield from parts_of(item)
    elif output is not None:
        yield np.asarray(output)


def _are_rows(items: list[Any]) -> bool:
    maps = all(isinstance(item, dict) for item in items)
    return bool(items) and maps and all(item.keys() == items[0].keys() for item in items)


def _values(mapping: dict[Any, Any]) -> NDArray[Any]:
    return np.asarray([mapping[key] for key in sorted(mapping)])
