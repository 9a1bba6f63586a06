"""Options of the contract to and from those of the engine."""

from enum import StrEnum
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from zeropoint import v1
from zeropoint.engine.errors import OptionError
from zeropoint.engine.number_types import QuantType
from zeropoint.engine.options import (
    CalibrationMethod,
    DynamicOptions,
    NodeSelection,
    PostTrainingOptions,
    QatOptions,
    QdqOptions,
    QuantFormat,
    StaticOptions,
    VerifyOptions,
    WeightOptions,
)
from zeropoint.engine.tensor_override import TensorQuantOverride

_Member = TypeVar("_Member", bound=StrEnum)


class _WireEnum(Protocol):
    """An enum of the contract."""

    def Value(self, name: str) -> Any:  # noqa: N802 - protobuf's name
        """Return the number of a name."""


def numbers(kind: type[_Member], wire: _WireEnum, prefix: str) -> dict[_Member, Any]:
    """Return the number that stands for each member of `kind` in the contract's enum."""
    return {member: wire.Value(f"{prefix}_{member.name}") for member in kind}


QUANT_TYPES = numbers(QuantType, v1.QuantType, "QUANT_TYPE")
QUANT_FORMATS = numbers(QuantFormat, v1.QuantFormat, "QUANT_FORMAT")
CALIBRATION_METHODS = numbers(CalibrationMethod, v1.CalibrationMethod, "CALIBRATION_METHOD")


def static_options(message: v1.StaticOptions) -> StaticOptions:
    """Return what a client asks for, with the engine's defaults for what it leaves out.

    Raises:
        OptionError: OPTION_UNKNOWN, OPTION_INVALID or OPTION_CONFLICT.
    """
    given = {
        "quant_format": _chosen(QUANT_FORMATS, message.quant_format, "quant_format"),
        "activation_type": _chosen(QUANT_TYPES, message.activation_type, "activation_type"),
        "calibrate_method": _chosen(
            CALIBRATION_METHODS, message.calibrate_method, "calibrate_method"
        ),
        "percentile": _optional(message, "percentile"),
    }
    return StaticOptions(
        selection=_selection(message.selection),
        activation_symmetric=_optional(message, "activation_symmetric"),
        activation_restricted_asymmetric=message.activation_restricted_asymmetric,
        minimum_real_range=message.minimum_real_range,
        weight=_weight(message),
        calibration_range_symmetric=message.calibration_range_symmetric,
        qdq=_qdq(message.qdq),
        tensor_quant_overrides=_overrides(message),
        verify=_verify(message),
        **_present(given),
    )


def dynamic_options(message: v1.DynamicOptions) -> DynamicOptions:
    """Return what a client asks for, with the engine's defaults for what it leaves out.

    Raises:
        OptionError: OPTION_UNKNOWN, OPTION_INVALID or OPTION_CONFLICT.
    """
    return DynamicOptions(
        selection=_selection(message.selection),
        weight=_weight(message),
        tensor_quant_overrides=_overrides(message),
        verify=_verify(message),
    )


def qat_options(message: v1.QatOptions) -> QatOptions:
    """Return what a client asks for, with the engine's defaults for what it leaves out.

    Raises:
        OptionError: OPTION_UNKNOWN, OPTION_INVALID or OPTION_CONFLICT.
    """
    given = {"quant_format": _chosen(QUANT_FORMATS, message.quant_format, "quant_format")}
    return QatOptions(
        selection=_selection(message.selection),
        activation_type=_chosen(QUANT_TYPES, message.activation_type, "activation_type"),
        weight_type=_chosen(QUANT_TYPES, message.weight_type, "weight_type"),
        per_channel=_optional(message, "per_channel"),
        quantize_bias=message.quantize_bias,
        exact=message.exact,
        calibrate=message.calibrate,
        verify=_verify(message),
        **_present(given),
    )


def static_message(options: StaticOptions) -> v1.StaticOptions:
    """Return `options` with all defaults filled in."""
    return v1.StaticOptions(
        selection=_selection_message(options.selection, dynamic=False),
        quant_format=QUANT_FORMATS[options.quant_format],
        activation_type=QUANT_TYPES[options.activation_type],
        weight_type=QUANT_TYPES[options.weight.quant_type],
        per_channel=options.weight.per_channel,
        reduce_range=options.weight.reduce_range,
        activation_symmetric=options.activations_symmetric,
        weight_symmetric=options.weight.is_symmetric,
        calibrate_method=CALIBRATION_METHODS[options.calibrate_method],
        percentile=options.percentile,
        calibration_range_symmetric=options.calibration_range_symmetric,
        activation_restricted_asymmetric=options.activation_restricted_asymmetric,
        minimum_real_range=options.minimum_real_range,
        qdq=_qdq_message(options.qdq),
        tensor_quant_overrides=_override_messages(options),
        min_sqnr_db=options.verify.min_sqnr_db,
        strict=options.verify.strict,
    )


def dynamic_message(options: DynamicOptions) -> v1.DynamicOptions:
    """Return `options` with all defaults filled in."""
    return v1.DynamicOptions(
        selection=_selection_message(options.selection, dynamic=True),
        weight_type=QUANT_TYPES[options.weight.quant_type],
        per_channel=options.weight.per_channel,
        reduce_range=options.weight.reduce_range,
        weight_symmetric=options.weight.is_symmetric,
        minimum_real_range=options.weight.minimum_real_range,
        tensor_quant_overrides=_override_messages(options),
        min_sqnr_db=options.verify.min_sqnr_db,
        strict=options.verify.strict,
    )


def qat_message(options: QatOptions) -> v1.QatOptions:
    """Return `options`; what is left to training stays so."""
    given = {
        "activation_type": options.activation_type and QUANT_TYPES[options.activation_type],
        "weight_type": options.weight_type and QUANT_TYPES[options.weight_type],
        "per_channel": options.per_channel,
    }
    return v1.QatOptions(
        selection=_selection_message(options.selection, dynamic=False),
        quant_format=QUANT_FORMATS[options.quant_format],
        quantize_bias=options.quantize_bias,
        exact=options.exact,
        calibrate=options.calibrate,
        min_sqnr_db=options.verify.min_sqnr_db,
        strict=options.verify.strict,
        **_present(given),
    )


def _selection(message: v1.NodeSelection) -> NodeSelection:
    given = {"enable_subgraph": _optional(message, "enable_subgraph")}
    return NodeSelection(
        op_types_to_quantize=tuple(message.op_types_to_quantize),
        nodes_to_quantize=tuple(message.nodes_to_quantize),
        nodes_to_exclude=tuple(message.nodes_to_exclude),
        matmul_const_b_only=_optional(message, "matmul_const_b_only"),
        force_quantize_no_input_check=message.force_quantize_no_input_check,
        op_types_to_exclude_output_quantization=tuple(
            message.op_types_to_exclude_output_quantization
        ),
        **_present(given),
    )


def _selection_message(selection: NodeSelection, *, dynamic: bool) -> v1.NodeSelection:
    excluded = selection.op_types_to_exclude_output_quantization
    return v1.NodeSelection(
        enable_subgraph=selection.enable_subgraph,
        matmul_const_b_only=selection.needs_const_b(dynamic=dynamic),
        force_quantize_no_input_check=selection.force_quantize_no_input_check,
        op_types_to_exclude_output_quantization=excluded,
        op_types_to_quantize=selection.op_types_to_quantize,
        nodes_to_quantize=selection.nodes_to_quantize,
        nodes_to_exclude=selection.nodes_to_exclude,
    )


def _qdq(message: v1.QdqOptions) -> QdqOptions:
    given = {"quantize_bias": _optional(message, "quantize_bias")}
    return QdqOptions(
        add_pair_to_weight=message.add_pair_to_weight,
        dedicated_pair=message.dedicated_pair,
        use_contrib_ops=message.use_contrib_ops,
        **_present(given),
    )


def _qdq_message(qdq: QdqOptions) -> v1.QdqOptions:
    return v1.QdqOptions(
        quantize_bias=qdq.quantize_bias,
        add_pair_to_weight=qdq.add_pair_to_weight,
        dedicated_pair=qdq.dedicated_pair,
        use_contrib_ops=qdq.use_contrib_ops,
    )


def _overrides(message: v1.StaticOptions | v1.DynamicOptions) -> tuple[TensorQuantOverride, ...]:
    return tuple(
        TensorQuantOverride(
            tensor_name=one.tensor_name,
            quant_type=_chosen(QUANT_TYPES, one.quant_type, "tensor_quant_overrides.quant_type"),
            symmetric=_optional(one, "symmetric"),
            reduce_range=_optional(one, "reduce_range"),
            axis=_optional(one, "axis"),
            scale=tuple(one.scale),
            zero_point=tuple(one.zero_point),
            rmin=tuple(one.rmin),
            rmax=tuple(one.rmax),
        )
        for one in message.tensor_quant_overrides
    )


def _override_messages(options: PostTrainingOptions) -> list[v1.TensorQuantOverride]:
    return [
        v1.TensorQuantOverride(
            tensor_name=one.tensor_name,
            scale=one.scale,
            zero_point=one.zero_point,
            rmin=one.rmin,
            rmax=one.rmax,
            **_present(
                {
                    "quant_type": None if one.quant_type is None else QUANT_TYPES[one.quant_type],
                    "symmetric": one.symmetric,
                    "reduce_range": one.reduce_range,
                    "axis": one.axis,
                }
            ),
        )
        for one in options.tensor_quant_overrides
    ]


def _weight(message: v1.StaticOptions | v1.DynamicOptions) -> WeightOptions:
    given = {"quant_type": _chosen(QUANT_TYPES, message.weight_type, "weight_type")}
    return WeightOptions(
        per_channel=message.per_channel,
        reduce_range=message.reduce_range,
        symmetric=_optional(message, "weight_symmetric"),
        minimum_real_range=message.minimum_real_range,
        **_present(given),
    )


def _verify(message: v1.StaticOptions | v1.DynamicOptions | v1.QatOptions) -> VerifyOptions:
    given = {"min_sqnr_db": _optional(message, "min_sqnr_db")}
    return VerifyOptions(strict=message.strict, **_present(given))


def _chosen(members: dict[_Member, Any], number: int, option: str) -> _Member | None:
    """Return the member of `number`; None where the client leaves the choice open."""
    if number == 0:
        return None
    for member, known in members.items():
        if known == number:
            return member
    raise OptionError(
        "OPTION_UNKNOWN",
        f"{option} is {number}, which this server does not know; it knows "
        f"{', '.join(str(member) for member in members)}.",
        option=option,
    )


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _present(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
