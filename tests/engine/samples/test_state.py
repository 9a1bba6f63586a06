"""Which outputs feed the next call: what the user says, and what names, types and shapes show."""

from collections.abc import Mapping

import pytest
from onnx import TensorProto

from zeropoint.engine import OptionError, Signature, StatePair, TensorSpec, VerifyOptions
from zeropoint.engine.samples import state_pairs

Shape = tuple[int | str | None, ...] | None
FLOAT = TensorProto.FLOAT


def _signature(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> Signature:
    sides = [
        tuple(TensorSpec(name=n, element_type=FLOAT, shape=shape) for n, shape in side.items())
        for side in (inputs, outputs)
    ]
    return Signature(inputs=sides[0], outputs=sides[1])


def _seen(inputs: list[str], outputs: list[str], shape: Shape = (2, "N", 8)) -> set[str]:
    signature = _signature(
        {"x": ("N", 4), **dict.fromkeys(inputs, shape)},
        {"y": ("N", 4), **dict.fromkeys(outputs, shape)},
    )
    return {f"{pair.output} {pair.input}" for pair in state_pairs(signature, ())}


@pytest.mark.parametrize(
    ("inputs", "outputs", "pairs"),
    [
        (["state"], ["stateN"], {"stateN state"}),
        (["h0", "c0"], ["hn", "cn"], {"hn h0", "cn c0"}),
        (["h_0"], ["h_n"], {"h_n h_0"}),
        (["h_in"], ["h_out"], {"h_out h_in"}),
        (["prev_state"], ["new_state"], {"new_state prev_state"}),
        (["cache_1", "cache_2"], ["cache_1_out", "cache_2_out"], None),
        (["past_key_values.0.key"], ["present.0.key"], {"present.0.key past_key_values.0.key"}),
        (["past.0.key", "past.0.value"], ["present.0.key", "present.0.value"], None),
        (["hiddenIn"], ["hiddenOut"], {"hiddenOut hiddenIn"}),
        (["state"], ["state_a"], set()),
        (["hidden_states"], ["last_hidden_states"], set()),
        (["mask"], ["mask_out"], set()),
        (["state"], ["state_out", "new_state"], set()),
        (["h0"], ["depth"], set()),
    ],
)
def test_names_that_differ_in_the_side_alone_are_a_state(
    inputs: list[str], outputs: list[str], pairs: set[str] | None
) -> None:
    expected = pairs
    if expected is None:
        expected = {f"{output} {name}" for output, name in zip(outputs, inputs, strict=True)}
    assert _seen(inputs, outputs) == expected


@pytest.mark.parametrize(
    ("given", "taken", "fits"),
    [
        ((2, "N", 8), (2, "M", 8), True),
        ((None, "N", "K"), (2, "N", 8), True),
        (None, (2, 1, 8), True),
        ((2, 1, 8), (2, 1, 16), False),
        ((2, 8), (2, 1, 8), False),
    ],
)
def test_shapes_must_fit(given: Shape, taken: Shape, fits: bool) -> None:
    signature = _signature({"x": (1,), "state": taken}, {"state_out": given})
    assert bool(state_pairs(signature, ())) == fits


def test_types_must_be_the_same_and_not_every_input_is_a_state() -> None:
    half = TensorSpec(name="state_out", element_type=TensorProto.FLOAT16, shape=(1,))
    signature = _signature({"x": (1,), "state": (1,)}, {})
    assert state_pairs(Signature(inputs=signature.inputs, outputs=(half,)), ()) == ()
    assert state_pairs(_signature({"state": (1,)}, {"state_out": (1,)}), ()) == ()


def test_what_the_user_says_counts() -> None:
    signature = _signature({"x": (1,), "a": (2,), "state": (3,)}, {"b": (2,), "stateN": (3,)})
    asked = (StatePair(output="b", input="a"),)
    assert state_pairs(signature, asked) == asked
    assert state_pairs(signature, ()) == (StatePair(output="stateN", input="state"),)
    assert VerifyOptions().state == ()


@pytest.mark.parametrize(
    ("output", "taken", "reason", "said"),
    [
        ("stateM", "state", "TENSOR_UNKNOWN", "no output 'stateM'; the nearest is 'stateN'"),
        ("stateN", "stat", "TENSOR_UNKNOWN", "no input 'stat'; the nearest is 'state'"),
        ("y", "state", "OPTION_INVALID", "input 'state' cannot take what output 'y' gives"),
    ],
)
def test_what_is_wrong_is_told_with_the_nearest(
    output: str, taken: str, reason: str, said: str
) -> None:
    signature = _signature({"x": (1,), "state": (3,)}, {"y": (2,), "stateN": (3,)})
    with pytest.raises(OptionError, match=said) as caught:
        state_pairs(signature, (StatePair(output=output, input=taken),))
    assert (caught.value.reason, caught.value.metadata["option"]) == (reason, "state")


def test_an_input_is_fed_by_one_output() -> None:
    pairs = (StatePair(output="a", input="x"), StatePair(output="b", input="x"))
    with pytest.raises(OptionError, match="from two outputs"):
        VerifyOptions(state=pairs)
