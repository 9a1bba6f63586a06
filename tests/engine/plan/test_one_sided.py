"""int8 ranges are symmetric where nothing else is said: what that costs is told."""

from pathlib import Path

import pytest
from support.engine import Quantized, quantize, static
from support.graphs import GraphBuilder, normal_batches

from zeropoint.engine import QuantType, StaticOptions, TensorQuantOverride

IMAGES = normal_batches({"x": (1, 3, 16, 16)}, count=3)


def two_sided() -> GraphBuilder:
    b = GraphBuilder()
    b.input("x", [1, 3, 16, 16])
    b.conv(b.node("Relu", [b.conv("x", "first", 3, 8)], "r"), "y", 8, 4)
    b.output("y")
    return b


def job(folder: Path, options: StaticOptions) -> Quantized:
    return quantize(two_sided().save(folder), IMAGES, options, folder / "job")


def test_tensors_whose_codes_are_half_unused_are_named_with_the_remedy(tmp_path: Path) -> None:
    result = job(tmp_path, static(activation_type=QuantType.QINT8))
    (warning,) = (w for w in result.report.warnings if w.code == "CODES_UNUSED")
    assert "'r'" in warning.message
    assert "'x'" not in warning.message, "it has both signs"
    assert "ActivationSymmetric" in warning.message


@pytest.mark.parametrize(
    "options",
    [
        StaticOptions(),
        static(activation_type=QuantType.QINT8, activation_symmetric=False),
        static(activation_type=QuantType.QINT8, activation_symmetric=True),
        static(
            activation_type=QuantType.QINT8,
            tensor_quant_overrides=(TensorQuantOverride(tensor_name="r", symmetric=True),),
        ),
    ],
    ids=["uint8", "asymmetric", "asked for", "asked for of the tensor"],
)
def test_nothing_is_said_where_it_costs_nothing_or_was_asked_for(
    tmp_path: Path, options: StaticOptions
) -> None:
    assert "CODES_UNUSED" not in [w.code for w in job(tmp_path, options).report.warnings]
