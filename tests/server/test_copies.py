"""Candidates told by what a client has already: rebuilt exactly, with few new bytes."""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from zeropoint import v1
from zeropoint.server.worker.copies import MOST_KEPT, SharedParts

LAYERS = 6
CHOICES = st.lists(st.integers(0, 3), min_size=LAYERS, max_size=LAYERS)
"""For each layer, which of a few weights it has."""


def model(choices: list[int]) -> onnx.ModelProto:
    """Return a chain of additions, each of one of a few weights."""
    nodes, weights = [], []
    for layer, choice in enumerate(choices):
        numbers = random.Random(100 * layer + choice).choices(range(100), k=300)
        weights.append(numpy_helper.from_array(np.array(numbers, np.float32), f"w{layer}"))
        inputs = [f"t{layer}", f"w{layer}"]
        nodes.append(helper.make_node("Add", inputs, [f"t{layer + 1}"], name=f"node{choice}"))
    ends = [helper.make_tensor_value_info(name, 1, [300]) for name in ("t0", f"t{LAYERS}")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph)


def save(folder: Path, proto: onnx.ModelProto, *, outside: bool) -> list[Path]:
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(proto, path, save_as_external_data=outside, location="model.data")
    return [path, folder / "model.data"] if outside else [path]


def rebuilt(file: Path, copies: list[v1.CopiedPart], had: dict[int, list[Path]]) -> int:
    """Check that copies and new bytes make the file; return the number of new bytes."""
    content = file.read_bytes()
    made, at, new = b"", 0, 0
    for copy in [*copies, v1.CopiedPart(offset=len(content))]:
        made += content[at : copy.offset]
        new += copy.offset - at
        at = copy.offset + copy.size
        if copy.size:
            source = had[copy.candidate][copy.file].read_bytes()
            made += source[copy.source_offset : copy.source_offset + copy.size]
    assert made == content
    return new


@settings(max_examples=20)
@given(sequence=st.lists(CHOICES, min_size=2, max_size=7), seed=st.randoms(use_true_random=False))
def test_every_candidate_is_rebuilt(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[list[int]], seed: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("copies")
    had = {0: save(folder / "0", model(sequence[0]), outside=seed.random() < 0.5)}
    shared = SharedParts(had[0])
    for number, choices in enumerate(sequence[1:], 2):
        files = save(folder / str(number), model(choices), outside=seed.random() < 0.5)
        copies, forgotten = shared.take(number, files)
        for old in forgotten:
            del had[old]
        assert len(had) - 1 <= MOST_KEPT
        for file, parts in zip(files, copies, strict=True):
            rebuilt(file, parts, had)
        had[number] = files


def test_a_small_change_costs_few_bytes(tmp_path: Path) -> None:
    original = save(tmp_path / "0", model([0] * LAYERS), outside=False)
    first = save(tmp_path / "1", model([1] * LAYERS), outside=False)
    second = save(tmp_path / "2", model([1, 1, 1, 0, 1, 1]), outside=False)
    shared = SharedParts(original)
    had = {0: original, 1: first}
    [copies], _ = shared.take(1, first)
    assert rebuilt(first[0], copies, had) > 4 * 300 * LAYERS
    [copies], _ = shared.take(2, second)
    assert {copy.candidate for copy in copies} == {0, 1}
    assert rebuilt(second[0], copies, had) < 100


def test_the_first_candidate_is_kept(tmp_path: Path) -> None:
    shared = SharedParts(save(tmp_path / "0", model([0] * LAYERS), outside=False))
    gone = []
    for number in range(1, 8):
        files = save(tmp_path / str(number), model([number % 4] * LAYERS), outside=False)
        gone += shared.take(number, files)[1]
    assert gone == [2, 3, 4]


def test_what_is_no_model_comes_whole(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model" * 100)
    shared = SharedParts([tmp_path / "model.onnx"])
    assert shared.take(1, [tmp_path / "model.onnx"]) == ([[]], [])
