"""The `extra_options` of `onnxruntime.quantization` 1.32: honoured, or refused by name.

Those of its `quantize_static` and `quantize_dynamic`, and those of its `create_calibrator`. What
is neither honoured nor refused: see `extra_values`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from zeropoint.client.coercion import flag, names, number, reject_unknown
from zeropoint.client.errors import OptionError
from zeropoint.client.extra_values import REFUSED, is_what_is_done
from zeropoint.client.overrides import tensor_quant_overrides

Part = Literal["options", "selection", "weight", "qdq"]
Reader = Callable[[object, str], object]
"""Checks the value of a key; the second argument is the key, for messages."""


@dataclass(frozen=True, slots=True)
class _Key:
    """How a key is honoured.

    Attributes:
        field: The field that it sets.
        read: What reads its value.
        part: Where the field is: in the options themselves, or in what they hold by this name.
    """

    field: str
    read: Reader
    part: Part = "options"


_WEIGHTS: Mapping[str, _Key] = MappingProxyType(
    {
        "EnableSubgraph": _Key("enable_subgraph", flag, "selection"),
        "MatMulConstBOnly": _Key("matmul_const_b_only", flag, "selection"),
        "MinimumRealRange": _Key("minimum_real_range", number, "weight"),
        "TensorQuantOverrides": _Key("tensor_quant_overrides", tensor_quant_overrides),
        "WeightSymmetric": _Key("symmetric", flag, "weight"),
    }
)
_DYNAMIC = _WEIGHTS
_STATIC: Mapping[str, _Key] = MappingProxyType(
    {
        **_WEIGHTS,
        "AddQDQPairToWeight": _Key("add_pair_to_weight", flag, "qdq"),
        "ActivationRestrictedAsymmetric": _Key("activation_restricted_asymmetric", flag),
        "ActivationSymmetric": _Key("activation_symmetric", flag),
        "CalibPercentile": _Key("percentile", number),
        "CalibTensorRangeSymmetric": _Key("calibration_range_symmetric", flag),
        "DedicatedQDQPair": _Key("dedicated_pair", flag, "qdq"),
        "ForceQuantizeNoInputCheck": _Key("force_quantize_no_input_check", flag, "selection"),
        "KeepActivationType": _Key("keep_activation_type", flag),
        "OpTypesToExcludeOutputQuantization": _Key(
            "op_types_to_exclude_output_quantization", names, "selection"
        ),
        "QuantizeBias": _Key("quantize_bias", flag, "qdq"),
        "UseQDQContribOps": _Key("use_contrib_ops", flag, "qdq"),
    }
)

_QAT: Mapping[str, _Key] = MappingProxyType(
    {
        "KeepActivationType": _Key("keep_activation_type", flag),
        "QuantizeBias": _Key("quantize_bias", flag),
    }
)

HONOURED = frozenset({*_STATIC, *_DYNAMIC, *_QAT})
"""Keys that change the result."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What `extra_options` say.

    Attributes:
        options: Fields of `StaticOptions`, `DynamicOptions` or `QatOptions`.
        selection: Fields of `NodeSelection`.
        weight: Fields of `WeightOptions`.
        qdq: Fields of `QdqOptions`.
    """

    options: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    weight: dict[str, Any] = field(default_factory=dict)
    qdq: dict[str, Any] = field(default_factory=dict)


def dynamic_extras(extra: Mapping[str, Any] | None) -> Extras:
    """Return what `extra` says about dynamic quantization.

    Raises:
        OptionError: a key is unknown, not supported, or not for dynamic quantization.
    """
    return _extras(extra, _DYNAMIC, "dynamic")


def static_extras(extra: Mapping[str, Any] | None) -> Extras:
    """Return what `extra` says about static quantization.

    Raises:
        OptionError: a key is unknown or not supported.
    """
    return _extras(extra, _STATIC, "static")


def qat_extras(extra: Mapping[str, Any] | None) -> Extras:
    """Return what `extra` says about a model that was trained with fake quantization.

    Raises:
        OptionError: a key is unknown, or says nothing about a trained model.
    """
    return _extras(extra, _QAT, "a trained model's")


def _extras(extra: object, honoured: Mapping[str, _Key], mode: str) -> Extras:
    extras = Extras()
    for name, value in _checked(extra, honoured, mode).items():
        key = honoured[name]
        getattr(extras, key.part)[key.field] = key.read(value, name)
    return extras


def _checked(extra: object, honoured: Mapping[str, _Key], mode: str) -> Mapping[str, Any]:
    """Return the options to honour, once none of the others is asked for in vain."""
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        message = f"extra_options must be a dict, not {type(extra).__name__}."
        raise OptionError("OPTION_INVALID", message, {"option": "extra_options"})
    reject_unknown(tuple(extra), (*HONOURED, *REFUSED), "extra option")
    given = {key: value for key, value in extra.items() if value is not None}
    for key, value in given.items():
        if key not in honoured and not is_what_is_done(key, value):
            reason = REFUSED.get(key, f"has no meaning in {mode} quantization. Drop it.")
            message = f"The extra option {key} {reason}"
            raise OptionError("OPTION_INVALID", message, {"option": key})
    return {key: value for key, value in given.items() if key in honoured}
