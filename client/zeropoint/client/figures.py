"""Figures as people read them; none of these texts needs escaping."""

import math

_UNITS = ("B", "KB", "MB")


def decibels(value: float | None) -> str:
    """Return a ratio as text; None where nothing was compared, infinity where nothing differs."""
    if value is None:
        return "not compared"
    return "exact" if value == math.inf else f"{value:.1f} dB"


def percent(share: float) -> str:
    """Return a share as text, with as many digits as it takes not to look like 0 or 100 %."""
    value = 100 * share
    distance = min(value, 100 - value)
    if distance <= 0:
        return f"{value:.0f}%"
    if distance < 0.01:
        return "<0.01%" if value < 50 else ">99.99%"
    return f"{value:.{0 if distance >= 10 else 1 if distance >= 0.1 else 2}f}%"


def size(count: int) -> str:
    """Return a number of bytes as text."""
    value = float(count)
    for unit in _UNITS:
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def counted(number: int, what: str) -> str:
    """Return a number with its noun."""
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{number} {what if number == 1 else plural}"
