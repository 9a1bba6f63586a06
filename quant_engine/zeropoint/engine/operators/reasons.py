"""Why a node stays float."""

from dataclasses import dataclass

MASKED = "MASKED"
"""Reason of a node that reads a mask, as its statistics show."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a node stays float: UPPER_SNAKE reason and the same for people."""

    reason: str
    message: str
