"""Why a node stays float."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a node stays float: UPPER_SNAKE reason and the same for people."""

    reason: str
    message: str
