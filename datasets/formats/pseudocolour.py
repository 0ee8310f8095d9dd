"""An estimate of transmission from a vendor's 8-bit colours: declared by the caller, never guessed.

Vendors show thickness as darkness and material as hue: orange for organic, green for mixed,
blue for metal. No vendor publishes the palette, so the estimate is only monotone: darker is
more attenuation, bluer is a steeper energy dependence. It says where something dense lies and
roughly of what class; masses and watch-list materials cannot be told from it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_HUES = (30.0, 120.0, 220.0)  # degrees: orange, green, blue
_RATIOS = (1.2, 1.5, 1.9)  # ln T(low) / ln T(high) of organic matter, light metal and steel, dual-layer 160 kV
_GREY_RATIO = 1.5


def transmission(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Estimate both transmissions of a picture.

    T(high) = L^2, where L is the lightness of HSL (mean of the largest and smallest of red,
    green, blue; 0..1) and the square undoes a display's gamma; T(low) = T(high)^r, where r
    goes with the hue from 1.2 (orange) over 1.5 (green) to 1.9 (blue), and to 1.5 as the
    colour fades to grey.

    Args:
        planes: uint8, shape (3, rows, columns) for red, green, blue or (1, rows, columns) for grey.

    Returns:
        float32, shape (2, rows, columns), 0..1: high and low energy.
    """
    if len(planes) == 1:
        high = np.square(planes[0].astype(np.float32) / np.float32(255))
        return np.stack([high, high ** np.float32(_GREY_RATIO)])
    red, green, blue = (planes[i].astype(np.float32) for i in range(3))
    largest, smallest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = largest - smallest
    high = np.square((largest + smallest) / np.float32(510))
    some = np.maximum(chroma, 1)
    hue = np.select(
        [largest == red, largest == green],
        [(green - blue) / some % 6, (blue - red) / some + 2],
        (red - green) / some + 4,
    )
    ratio = np.interp(60 * hue, _HUES, _RATIOS).astype(np.float32)
    saturation = chroma / np.maximum(largest, 1)
    ratio = np.float32(_GREY_RATIO) + saturation * (ratio - np.float32(_GREY_RATIO))
    return np.stack([high, high**ratio])
