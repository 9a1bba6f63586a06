"""What a server says about the contract that it speaks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REVISION: Final = 1
"""One more with each addition to the contract, once it is released."""

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        "calibration": "`return_calibration`, and `calibration` instead of batches",
        "evaluate": "`AccuracyOptions.evaluate`: candidates come to be evaluated by the client",
        "inspect": "Inspect, for every kind of quantization",
        "pieces": "plans and reports in pieces, no message above 4 MiB",
        "resend": "a batch may be sent again, and counts once",
        "text": "inputs of type STRING in batches",
        "verification_only": "`verification_only` in a header of a batch that chooses no range",
    }
)
"""What a server may offer, by the word that says so."""
