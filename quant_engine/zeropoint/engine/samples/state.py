"""Which outputs of a call are inputs of the next one: told by the user, or seen from the names."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from zeropoint.engine.accuracy_options import StatePair
from zeropoint.engine.errors import OptionError
from zeropoint.engine.report import Signature, TensorSpec

_STATE: Final = frozenset(
    {"state", "states", "hidden", "cell", "cache", "caches", "past", "present", "memory", "mem"}
    | {"buffer", "h", "c"}
)
_SIDES: Final = frozenset(
    {"in", "out", "input", "output", "n", "new", "next", "prev", "previous", "past", "present"}
    | {"init", "initial", "last", "final", "updated", "current", "curr", "i", "o"}
)
_WORDS: Final = re.compile(r"[a-z]+|[0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RECURRENT: Final = re.compile(r"(?<![a-z])([hc])_?[n0](?![a-z0-9])")  # h0 and hn, of LSTM and GRU


def state_pairs(signature: Signature, asked: Sequence[StatePair]) -> tuple[StatePair, ...]:
    """Return which outputs feed which inputs of the next call.

    Args:
        signature: Of the model.
        asked: What the user says; where nothing, pairs are looked for: of one element type, shapes
            that fit, and names that say a state and differ in nothing but the side. A model of
            which every input would be one has none.

    Raises:
        OptionError: TENSOR_UNKNOWN, there is no such output or input; OPTION_INVALID, an input
            cannot take what the output gives.
    """
    inputs = {spec.name: spec for spec in signature.inputs}
    outputs = {spec.name: spec for spec in signature.outputs}
    if not asked:
        return _seen(inputs, outputs)
    for pair in asked:
        output = _found(outputs, pair.output, "output")
        taken = _found(inputs, pair.input, "input")
        if not _fits(output, taken):
            raise OptionError(
                "OPTION_INVALID",
                f"state: input {taken.name!r} cannot take what output {output.name!r} gives: "
                "element types or shapes differ. Name the output that feeds it.",
                option="state",
            )
    return tuple(asked)


def _found(specs: Mapping[str, TensorSpec], name: str, side: str) -> TensorSpec:
    if name in specs:
        return specs[name]
    (nearest,) = difflib.get_close_matches(name, specs, n=1, cutoff=0.0) or [""]
    raise OptionError(
        "TENSOR_UNKNOWN",
        f"state: the model has no {side} {name!r}; the nearest is {nearest!r}.",
        option="state",
        tensor=name,
    )


def _seen(
    inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> tuple[StatePair, ...]:
    by_key = _by_key(outputs)
    pairs = tuple(
        StatePair(output=by_key[key], input=name)
        for key, name in _by_key(inputs).items()
        if key in by_key and _fits(outputs[by_key[key]], inputs[name])
    )
    return pairs if len(pairs) < len(inputs) else ()


def _by_key(names: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Return the names that say a state by what they say beside the side, where one says it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if (key := _key(name)) is not None:
            found.setdefault(key, []).append(name)
    return {key: alike[0] for key, alike in found.items() if len(alike) == 1}


def _key(name: str) -> tuple[str, ...] | None:
    text = _CAMEL.sub("_", name).lower().replace("key_values", "")
    words = _WORDS.findall(_RECURRENT.sub(r"\1", text))
    # An encoder's hidden states go to the next layer, and not to the next call.
    if _STATE.isdisjoint(words) or {"hidden", "states"} <= set(words):
        return None
    return tuple(word for word in words if word not in _SIDES)


def _fits(output: TensorSpec, taken: TensorSpec) -> bool:
    if output.element_type != taken.element_type:
        return False
    if output.shape is None or taken.shape is None:
        return True
    return len(output.shape) == len(taken.shape) and all(
        one == other or not (isinstance(one, int) and isinstance(other, int))
        for one, other in zip(output.shape, taken.shape, strict=True)
    )
