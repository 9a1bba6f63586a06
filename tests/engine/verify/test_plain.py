"""Values that cross a process boundary as JSON arrive as they were, or not at all."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from zeropoint.engine.report import TensorSpec, Verification, VerificationState
from zeropoint.engine.samples import InputRange, StoredArray, StoredBatch
from zeropoint.engine.verify import (
    NotPlain,
    ReferenceRequest,
    TwinModel,
    TwinNode,
    VerifyRequest,
    from_json,
    to_json,
)


@dataclasses.dataclass(frozen=True)
class _Value:
    number: float
    count: int
    flag: bool
    state: VerificationState
    maybe: float | None
    inner: tuple["_Inner", ...]
    by_name: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class _Inner:
    path: Path
    text: str


VALUE = _Value(
    number=-math.inf,
    count=3,
    flag=True,
    state=VerificationState.GENERATED,
    maybe=None,
    inner=(_Inner(Path("/a b/é"), "\n\udc80"), _Inner(Path("/c"), "")),
    by_name={"x": 1, "": 2},
)


def test_a_value_arrives_as_it_was() -> None:
    text = to_json(VALUE)
    assert "\n" not in text
    assert from_json(_Value, text) == VALUE
    other = dataclasses.replace(VALUE, maybe=0.1, number=1e300)
    assert from_json(_Value, to_json(other)) == other


def test_a_request_arrives_as_it_was() -> None:
    array = StoredArray(path=Path("/m/b"), dtype="<f4", shape=(2, 3))
    spec = TensorSpec(name="x", element_type=1, shape=("N", 3, None))
    request = VerifyRequest(
        reference=ReferenceRequest(
            original=Path("/m/model.onnx"),
            scratch=Path("/m"),
            batches=(StoredBatch(arrays={"x": array}),),
            inputs=(InputRange(spec=spec, below=9, choices=(1, 2)),),
            threads=2,
        ),
        shipped=Path("/m/result.onnx"),
        twins=TwinModel(
            path=Path("/m/t.onnx"),
            nodes=(TwinNode(name="conv", op_type="Conv"),),
        ),
        nodes={"conv": "Conv"},
    )
    assert from_json(VerifyRequest, to_json(request)) == request
    nothing = ReferenceRequest(original=None, scratch=Path("/s"))
    bare = VerifyRequest(reference=nothing, shipped=Path("/r"))
    assert from_json(VerifyRequest, to_json(bare)) == bare


@pytest.mark.parametrize(
    "change",
    [
        {"state": "splendid"},
        {"batches": "3"},
        {"batches": 1.5},
        {"message": 7},
        {"outputs": {}},
        {"outputs": [1]},
        {"sqnr_db": "loud"},
    ],
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    plain = json.loads(to_json(Verification(state=VerificationState.COMPARED, batches=3)))
    with pytest.raises(NotPlain):
        from_json(Verification, json.dumps({**plain, **change}))


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", "null", b"\xff", "[" * 100_000])
def test_what_is_no_value_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotPlain):
        from_json(Verification, text)
