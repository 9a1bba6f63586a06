"""Arrays of any make are taken, or rejected by number: none ends a job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import open_here
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import BatchError, Job, JobSettings, StaticOptions
from zeropoint.engine.samples import content_digest, plain_batch

IMAGE = normal_batches({"x": (2, 3, 8, 8)}, 1)[0]["x"]


def misaligned(array: Any) -> Any:
    data = np.frombuffer(b"\0" + array.tobytes(), np.uint8)
    return data[1:].view(array.dtype).reshape(array.shape)


class Tensor:
    """As other frameworks have them."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return IMAGE


class Broken:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("it needs grad")


TAKEN: dict[str, Callable[[], Any]] = {
    "big-endian": lambda: IMAGE.astype(">f4"),
    "column-major": lambda: np.asfortranarray(IMAGE),
    "every other one": lambda: np.repeat(IMAGE, 2, axis=3)[..., ::2],
    "backwards": lambda: IMAGE[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "misaligned": lambda: misaligned(IMAGE),
    "read-only": lambda: np.frombuffer(IMAGE.tobytes(), np.float32).reshape(IMAGE.shape),
    "masked": lambda: np.ma.masked_array(IMAGE, mask=False),
    "another framework's": Tensor,
}
REJECTED: dict[str, tuple[Callable[[], Any], str]] = {
    "float16": (lambda: IMAGE.astype(np.float16), "BATCH_ELEMENT_TYPE"),
    "a list of floats": (lambda: IMAGE.tolist(), "BATCH_ELEMENT_TYPE"),
    "long double": (lambda: IMAGE.astype(np.longdouble), "BATCH_ELEMENT_TYPE"),
    "complex": (lambda: IMAGE.astype(np.complex64), "BATCH_ELEMENT_TYPE"),
    "objects": (lambda: IMAGE.astype(np.object_), "BATCH_ELEMENT_TYPE"),
    "dates": (lambda: np.zeros(IMAGE.shape, "M8[s]"), "BATCH_ELEMENT_TYPE"),
    "records": (lambda: np.zeros(IMAGE.shape, [("a", "f4")]), "BATCH_ELEMENT_TYPE"),
    "void": (lambda: np.zeros(IMAGE.shape, "V4"), "BATCH_ELEMENT_TYPE"),
    "None": (lambda: None, "BATCH_ELEMENT_TYPE"),
    "a string": (lambda: "x", "BATCH_ELEMENT_TYPE"),
    "broken": (Broken, "BATCH_ELEMENT_TYPE"),
    "ragged": (lambda: [[1.0], [1.0, 2.0]], "BATCH_ELEMENT_TYPE"),
    "a sequence of arrays": (lambda: [IMAGE, IMAGE[:1]], "BATCH_ELEMENT_TYPE"),
    "no axes": (lambda: np.float32(1), "BATCH_SHAPE"),
    "one axis": (lambda: IMAGE.reshape(-1), "BATCH_SHAPE"),
    "many axes": (lambda: IMAGE.reshape(*[1] * 50, 2, 3, 8, 8), "BATCH_SHAPE"),
}


def opened(folder: Path) -> Job:
    b = GraphBuilder()
    b.input("x", ["N", 3, 8, 8])
    b.node("Relu", [b.conv("x", "c", 3, 4)], "y")
    b.output("y", ["N", 4, 8, 8])
    workspace = folder / "job"
    workspace.mkdir()
    return open_here(b.save(folder), StaticOptions(), JobSettings(workspace=workspace))


@pytest.mark.parametrize("made", TAKEN.values(), ids=TAKEN)
def test_arrays_in_any_layout_are_the_same(made: Callable[[], Any], tmp_path: Path) -> None:
    found = plain_batch({"x": made()})
    assert found["x"].tobytes() == IMAGE.tobytes()
    assert content_digest(found) == content_digest({"x": IMAGE})
    with opened(tmp_path) as job:
        job.observe({"x": made()})
        calibration = job.finish().report.calibration
    assert calibration is not None
    assert calibration.batches == 1


@pytest.mark.parametrize(("made", "reason"), REJECTED.values(), ids=REJECTED)
def test_what_does_not_fit_is_rejected(
    made: Callable[[], Any], reason: str, tmp_path: Path
) -> None:
    with opened(tmp_path) as job:
        with pytest.raises(BatchError) as caught:
            job.observe({"x": made()})
        job.observe({"x": IMAGE})
        assert job.finish().report.rejected[0].sequence == 1
    assert caught.value.reason == reason


@pytest.mark.parametrize("batch", [[IMAGE], IMAGE, None, {1: IMAGE}, {"x": IMAGE, None: IMAGE}])
def test_what_is_no_batch_is_rejected(batch: Any, tmp_path: Path) -> None:
    with (
        opened(tmp_path) as job,
        pytest.raises(BatchError) as caught,
    ):
        job.observe(batch)
    assert caught.value.reason == "BATCH_INPUT_UNKNOWN"


def test_an_array_without_axes_stays_one() -> None:
    assert plain_batch({"x": np.array(2, np.float32)})["x"].shape == ()
