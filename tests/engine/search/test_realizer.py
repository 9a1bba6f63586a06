"""Changes that need numbers: they are found from samples, and are what they say."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import Feeds, run, sqnr_db, static
from support.graphs import GraphBuilder, normal_batches
from support.realizing import Seen, kernels_of, seen

from zeropoint.engine import StaticOptions, WeightOptions
from zeropoint.engine.errors import ModelError
from zeropoint.engine.runtime import RuntimeRefusal
from zeropoint.engine.search import Changes, Decided, Realizer

ONE_SCALE = StaticOptions(weight=WeightOptions(per_channel=False))
OPTIONS = [ONE_SCALE, StaticOptions()]


def uneven() -> GraphBuilder:
    """Convolutions whose channels differ in size by factors of hundreds."""
    b = GraphBuilder(13, seed=3)
    b.input("x", ["N", 8, 8, 8])
    value, sizes = "x", np.geomspace(0.05, 20, 16).astype(np.float32)
    for layer, (channels, width) in enumerate(((8, 16), (16, 16), (16, 8))):
        fan = np.float32(1 / np.sqrt(9 * channels))
        weight = b.rng.standard_normal((width, channels, 3, 3)).astype(np.float32) * fan
        if layer < 2:
            weight *= sizes[:width].reshape(-1, 1, 1, 1)
        if layer > 0:
            weight /= sizes[:channels].reshape(1, -1, 1, 1)
        read = [value, b.constant(f"w{layer}", weight), b.weight(f"b{layer}", width)]
        b.node("Conv", read, f"c{layer}", pads=[1, 1, 1, 1])
        value = b.node("Relu", [f"c{layer}"], f"r{layer}")
    b.node("GlobalAveragePool", [value], "p")
    b.node("Gemm", [b.node("Flatten", ["p"], "f"), b.weight("v", 8, 5), b.weight("u", 5)], "y")
    b.output("y", ["N", 5])
    return b


def outliers() -> GraphBuilder:
    """A product that reads what is normalized, two channels of which are large."""
    b = GraphBuilder(17, seed=4)
    b.input("x", ["N", 6, 32])
    gain = np.ones(32, np.float32)
    gain[[3, 17]] = 60.0
    shift = b.constant("shift", np.zeros(32, np.float32))
    b.node("LayerNormalization", ["x", b.constant("gain", gain), shift], "n")
    weight = b.rng.standard_normal((32, 16)).astype(np.float32) * 0.2
    weight[[3, 17]] /= 60.0
    b.node("MatMul", ["n", b.constant("w", weight)], "m", name="first")
    b.node("Softplus", ["m"], "s")
    b.node("MatMul", ["s", b.weight("v", 16, 4)], "y", name="second")
    b.output("y", ["N", 6, 4])
    return b


def there(
    builder: GraphBuilder, shape: Sequence[int], options: StaticOptions, folder: Path
) -> tuple[Seen, list[Feeds]]:
    batches: list[Feeds] = [*normal_batches({"x": shape}, 12)]
    return seen(builder.save(folder), batches, options, folder / "seen"), batches


def decided(found: Seen, changes: Changes, samples: Sequence[Feeds]) -> Decided:
    assert isinstance(found.options, StaticOptions)
    assert found.statistics is not None
    realizer = Realizer(found.planned, found.options)
    return realizer.decide(found.statistics, changes, found.material(samples))


def quality(found: Seen, made: Decided, batches: Sequence[Feeds], name: str) -> float:
    path = found.written(made, name).files[0]
    pairs = [(run(found.source, batch)[0], run(path, batch)[0]) for batch in batches]
    return sqnr_db(*(np.concatenate(each) for each in zip(*pairs, strict=True)))


CONVS = frozenset({"conv_c0", "conv_c1", "conv_c2"})


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    "changes",
    [
        Changes(equalized=True),
        Changes(rounded=CONVS, corrected=CONVS),
        Changes(corrected=CONVS | {"gemm_y"}),
        Changes(equalized=True, rounded=CONVS, corrected=CONVS),
    ],
    ids=["equalized", "rounded", "corrected", "all"],
)
def test_convolutions_lose_less(tmp_path: Path, options: StaticOptions, changes: Changes) -> None:
    found, batches = there(uneven(), (4, 8, 8, 8), options, tmp_path)
    fit, test = batches[:8], batches[8:]
    asked = decided(found, Changes(), fit)
    made = decided(found, changes, fit)
    assert made.edited != asked.edited == b""
    assert set(made.planned.plan.nodes) == set(asked.planned.plan.nodes)
    assert found.written(made, "digest").digest != found.written(asked, "asked").digest
    told = kernels_of(found.written(made, "kernels"), tmp_path / "kernels")
    assert (told.float_nodes, told.requantized) == ((), ())
    before, after = (quality(found, each, test, f"q{n}") for n, each in enumerate((asked, made)))
    if options is ONE_SCALE:
        assert after > before + 1
    assert after > before - 1


def test_what_is_observed_anew_is_what_was_scaled(tmp_path: Path) -> None:
    found, batches = there(uneven(), (4, 8, 8, 8), ONE_SCALE, tmp_path)
    asked = decided(found, Changes(), batches)
    made = decided(found, Changes(equalized=True), batches)
    assert made.statistics is not None
    assert asked.statistics is not None
    changed = {
        name
        for name, tensor in made.statistics.tensors.items()
        if tensor.sketch.to_bytes() != asked.statistics.tensors[name].sketch.to_bytes()
    }
    assert changed == {"r0", "r1", "r2", "p"}, "what is fed stays as it was"
    assert made.statistics.tensors.keys() == asked.statistics.tensors.keys()


def test_of_two_nodes_one_is_rounded(tmp_path: Path) -> None:
    found, batches = there(uneven(), (4, 8, 8, 8), ONE_SCALE, tmp_path)
    made = decided(found, Changes(rounded=frozenset({"conv_c1"})), batches)
    before = {v.name: v for v in found.planned.graph.initializers.values()}
    after = {v.name: v for v in made.planned.graph.initializers.values()}
    assert before.keys() - after.keys() == {"w1"}
    assert len(after.keys() - before.keys()) == 1
    assert {"w1", "w0"} <= set(found.planned.graph.initializers), "the model stays as it is"


@pytest.mark.parametrize("options", [StaticOptions(), static(), static(per_channel=True)])
def test_products_of_what_is_normalized_lose_less(tmp_path: Path, options: StaticOptions) -> None:
    found, batches = there(outliers(), (2, 6, 32), options, tmp_path)
    changes = Changes(smoothed=frozenset({"first", "second"}))
    asked, made = (decided(found, each, batches[:8]) for each in (Changes(), changes))
    before, after = (
        quality(found, each, batches[8:], f"q{n}") for n, each in enumerate((asked, made))
    )
    assert after > before + 5
    other = decided(found, Changes(smoothed=frozenset({"second"})), batches[:8])
    assert (other.edited, other.planned) == (b"", asked.planned) or not other.edited


def test_numbers_go_with_nodes_that_are_otherwise(tmp_path: Path) -> None:
    found, batches = there(outliers(), (2, 6, 32), StaticOptions(), tmp_path)
    changes = Changes(
        dynamic=frozenset({"first"}), rounded=frozenset({"first", "second"}), equalized=True
    )
    made = decided(found, changes, batches)
    assert made.planned.plan.nodes["first"].dynamic == (0,)
    asked = decided(found, Changes(), batches)
    before, after = (quality(found, each, batches, f"q{n}") for n, each in enumerate((asked, made)))
    assert after > before


@pytest.mark.parametrize(
    "changes", [Changes(equalized=True), Changes(rounded=CONVS), Changes(corrected=CONVS)]
)
def test_it_is_the_same_again_and_nothing_without_samples(tmp_path: Path, changes: Changes) -> None:
    found, batches = there(uneven(), (4, 8, 8, 8), ONE_SCALE, tmp_path)
    one, other = (decided(found, changes, batches[:6]) for _ in range(2))
    assert one.edited == other.edited != b""
    contents = [
        found.written(made, name).files[0].read_bytes()
        for made, name in ((one, "one"), (other, "other"))
    ]
    assert contents[0] == contents[1]
    assert decided(found, changes, ()).edited == b""


def test_a_part_that_does_not_run_is_a_fault_of_the_candidate(tmp_path: Path) -> None:
    found, batches = there(uneven(), (4, 8, 8, 8), ONE_SCALE, tmp_path)

    def refuse(model: Path, outputs: Sequence[str], samples: Iterable[Feeds]) -> Any:
        raise RuntimeRefusal(f"not {model.name}")

    assert found.statistics is not None
    material = replace(found.material(batches), run=refuse)
    with pytest.raises(ModelError, match="not floats"):
        Realizer(found.planned, ONE_SCALE).decide(
            found.statistics, Changes(rounded=CONVS), material
        )
