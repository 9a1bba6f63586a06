"""Keyword arguments to typed options. What cannot be honoured is refused, never ignored."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, cast

from zeropoint.client.coercion import (
    coerce,
    flag,
    names,
    number,
    reject_unknown,
    state_pairs,
    text,
)
from zeropoint.client.errors import OptionError
from zeropoint.client.evaluation import check_evaluate
from zeropoint.client.extra_options import Extras, dynamic_extras, qat_extras, static_extras
from zeropoint.client.options import (
    AccuracyMode,
    AccuracyOptions,
    CalibrationMethod,
    DynamicKeywords,
    DynamicOptions,
    InspectKeywords,
    NodeSelection,
    Objective,
    Options,
    QatKeywords,
    QatOptions,
    QdqOptions,
    QuantFormat,
    QuantType,
    StaticKeywords,
    StaticOptions,
    VerifyOptions,
    WeightOptions,
)

_USERS_FRAME = 5  # the caller of `quantize_static`, from here


def static_options(**keywords: Unpack[StaticKeywords]) -> StaticOptions:
    """Return the options that the keyword arguments of `quantize_static` ask for.

    Raises:
        OptionError: one is unknown, malformed, not supported, or would have no effect.
    """
    reject_unknown(tuple(keywords), tuple(StaticKeywords.__optional_keys__), "option")
    _warn_of_providers(keywords.get("calibration_providers"))
    default = StaticOptions()
    method = coerce(
        CalibrationMethod,
        keywords.get("calibrate_method", default.calibrate_method),
        "calibrate_method",
    )
    extras = static_extras(keywords.get("extra_options"))
    if "percentile" in extras.options and method is not CalibrationMethod.Percentile:
        message = f"CalibPercentile has no effect with calibrate_method={method}; use Percentile."
        raise OptionError("OPTION_CONFLICT", message, {"option": "CalibPercentile"})
    return StaticOptions(
        quant_format=coerce(
            QuantFormat, keywords.get("quant_format", default.quant_format), "quant_format"
        ),
        activation_type=coerce(
            QuantType, keywords.get("activation_type", default.activation_type), "activation_type"
        ),
        calibrate_method=method,
        qdq=QdqOptions(**extras.qdq),
        minimum_real_range=extras.weight.get("minimum_real_range", 0.0),
        **_common(keywords, extras),
        **extras.options,
    )


def dynamic_options(**keywords: Unpack[DynamicKeywords]) -> DynamicOptions:
    """Return the options that the keyword arguments of `quantize_dynamic` ask for.

    Raises:
        OptionError: one is unknown, malformed or not supported.
    """
    reject_unknown(tuple(keywords), tuple(DynamicKeywords.__optional_keys__), "option")
    extras = dynamic_extras(keywords.get("extra_options"))
    return DynamicOptions(**_common(keywords, extras), **extras.options)


def qat_options(*, calibrate: bool = False, **keywords: Unpack[QatKeywords]) -> QatOptions:
    """Return the options that the keyword arguments of `quantize_qat` ask for.

    Args:
        calibrate: Whether batches complete what was not trained.
        **keywords: Those of `quantize_qat`.

    Raises:
        OptionError: one is unknown, malformed, not supported, or would change what was learned.
    """
    reject_unknown(tuple(keywords), tuple(QatKeywords.__optional_keys__), "option")
    if flag(keywords.get("reduce_range", False), "reduce_range"):
        message = (
            "reduce_range=True contradicts training: the range of the weights was learned. Drop "
            "it, or train the model with 7-bit weights."
        )
        raise OptionError("OPTION_CONFLICT", message, {"option": "reduce_range"})
    extras = qat_extras(keywords.get("extra_options"))
    return QatOptions(
        quant_format=coerce(
            QuantFormat, keywords.get("quant_format", QuantFormat.QDQ), "quant_format"
        ),
        activation_type=_type_if_named(keywords, "activation_type"),
        weight_type=_type_if_named(keywords, "weight_type"),
        per_channel=_flag_if_given(keywords, "per_channel"),
        exact=flag(keywords.get("exact", False), "exact"),
        calibrate=flag(calibrate, "calibrate"),
        **_shared(keywords, extras),
        **extras.options,
    )


def _type_if_named(keywords: Mapping[str, Any], option: str) -> QuantType | None:
    given = keywords.get(option)
    return None if given is None else coerce(QuantType, given, option)


Mode = Literal["static", "dynamic", "qat"]
"""Kinds of quantization."""


def options_for(mode: str, keywords: InspectKeywords) -> Options:
    """Return the options of any kind of quantization.

    Args:
        mode: "static", "dynamic" or "qat".
        keywords: Keyword arguments of `quantize_static`, `quantize_dynamic` or `quantize_qat`.

    Raises:
        OptionError: an option is unknown to that mode, malformed or not supported.
    """
    if mode == "static":
        return static_options(**cast(StaticKeywords, keywords))
    if mode == "dynamic":
        return dynamic_options(**cast(DynamicKeywords, keywords))
    if mode == "qat":
        return qat_options(**cast(QatKeywords, keywords))
    message = f"mode must be 'static', 'dynamic' or 'qat', not {mode!r}."
    raise OptionError("OPTION_INVALID", message, {"option": "mode"})


def _common(keywords: Mapping[str, Any], extras: Extras) -> dict[str, Any]:
    """Return the fields that the options of static and dynamic quantization have."""
    return {
        **_shared(keywords, extras),
        "weight": WeightOptions(
            quant_type=_type_if_named(keywords, "weight_type"),
            per_channel=_flag_if_given(keywords, "per_channel"),
            reduce_range=flag(keywords.get("reduce_range", False), "reduce_range"),
            **extras.weight,
        ),
    }


def _flag_if_given(keywords: Mapping[str, Any], name: str) -> bool | None:
    given = keywords.get(name)
    return None if given is None else flag(given, name)


def _shared(keywords: Mapping[str, Any], extras: Extras) -> dict[str, Any]:
    """Return the fields that all kinds of options have."""
    external_data(keywords)
    check_evaluate(keywords.get("evaluate"))
    lists = ("op_types_to_quantize", "nodes_to_quantize", "nodes_to_exclude")
    selection = {name: names(keywords.get(name), name) for name in lists} | extras.selection
    return {
        "selection": NodeSelection(**selection),
        "verify": VerifyOptions(
            min_sqnr_db=_number_if_given(keywords, "min_sqnr_db"),
            strict=flag(keywords.get("strict", False), "strict"),
            min_agreement=_number_if_given(keywords, "min_agreement"),
            state=state_pairs(keywords.get("state")),
        ),
        "accuracy": AccuracyOptions(
            mode=coerce(AccuracyMode, keywords.get("accuracy", AccuracyMode.guard), "accuracy"),
            objective=coerce(Objective, keywords.get("objective", Objective.latency), "objective"),
            evaluate=keywords.get("evaluate") is not None,
            max_drop=_number_if_given(keywords, "max_drop"),
            sensitivity=flag(keywords.get("sensitivity", False), "sensitivity"),
            decisions=text(keywords.get("decisions", ""), "decisions"),
        ),
    }


def _number_if_given(keywords: Mapping[str, Any], name: str) -> float | None:
    given = keywords.get(name)
    return None if given is None else number(given, name)


def _warn_of_providers(providers: Sequence[Any] | None) -> None:
    """Say where a provider that is asked for is not used."""
    names = [one[0] if isinstance(one, tuple) else one for one in providers or ()]
    others = [str(name) for name in names if name != "CPUExecutionProvider"]
    if others:
        warnings.warn(
            f"calibration_providers names {', '.join(others)}; the model is calibrated on the "
            "server's CPU, which gives the same ranges up to rounding.",
            stacklevel=_USERS_FRAME,
        )


def external_data(keywords: Mapping[str, Any]) -> bool:
    """Return whether the keyword arguments of a function ask for a data file.

    Raises:
        OptionError: `use_external_data_format` is neither True nor False.
    """
    given = keywords.get("use_external_data_format")
    return given is not None and flag(given, "use_external_data_format")
