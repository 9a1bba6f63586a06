"""Hard-swish on codes: y = x * h, h = clip(x / 6 + 1 / 2, 0, 1).

With k = 3 / scale a whole number, h has the codes of x, clipped to z - k and z + k, where z is the
zero point of x; read with the zero point z - k and the scale 1 / (2 k) they are h exactly.
"""

import math

BEND = 3.0
"""Below -BEND hard-swish is 0, above BEND it is x."""

_CODES = 255  # steps of uint8
_LEAST_STEPS = 12  # up to a bend; with fewer, a whole number of them costs more than it saves
_MOST_WIDENED = 1.25  # 2 dB of the data's resolution, for a kernel less


def on_bends(low: float, high: float, *, alone: bool) -> tuple[float, float]:
    """Return a range whose bends lie on codes of an asymmetric uint8, where that costs little.

    Args:
        low: Lower end of the values' range.
        high: Upper end.
        alone: Whether nothing but hard-swish reads the values: what is below -3 needs no codes.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if alone and (low < -BEND or high + BEND <= _MOST_WIDENED * (high - low)):
        low = -BEND
    step = (high - low) / _CODES
    if not _LEAST_STEPS * step <= BEND <= _CODES * step:
        return low, high
    step = BEND / math.floor(BEND / step)
    zero_point = math.ceil(-low / step - 1e-6)
    if (_CODES - zero_point) * step < high:
        zero_point = round(-low / step)
    return -zero_point * step, (_CODES - zero_point) * step
