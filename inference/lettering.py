"""Words on pictures: measuring, shortening, wrapping and drawing, in any script that OpenCV's fonts have."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255."""

Picture = npt.NDArray[np.uint8]
"""uint8 (rows, columns, 3), blue, green, red."""

PLAIN, BOLD = 400, 700
ELLIPSIS = "…"


@cache
def _face() -> cv2.FontFace:
    # OpenCV carries this outline font, Chinese included: no file on this machine is needed.
    return cv2.FontFace("sans")


def width(text: str, size: int, weight: int = PLAIN) -> int:
    """Pixels that a line takes from left to right."""
    _, _, wide, _ = cv2.getTextSize((0, 0), printable(text), (0, 0), _face(), size, weight)
    return wide + 1


def write(picture: Picture, text: str, left: int, top: int, size: int, colour: Colour, weight: int = PLAIN) -> None:
    """Write one line whose box begins at (left, top) and is `height(size)` high."""
    cv2.putText(picture, printable(text), (left, top + round(0.98 * size)), colour, _face(), size, weight)


def height(size: int) -> int:
    """Height of a line with room for accents and descenders, pixels."""
    return round(1.3 * size)


def shortened(text: str, most: int, size: int, weight: int = PLAIN) -> str:
    """The text, or as much of it as `most` pixels hold and an ellipsis."""
    if width(text, size, weight) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width(text[:middle].rstrip() + ELLIPSIS, size, weight) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + ELLIPSIS


def wrapped(text: str, most: int, size: int) -> list[str]:
    """The text in lines of at most `most` pixels, broken between words; longer words are broken too."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if width(longer, size) <= most:
            line = longer
            continue
        if line:
            lines.append(line)
        while width(word, size) > most and len(word) > 1:  # Chinese has no spaces; paths are long
            cut = next((n for n in range(len(word) - 1, 0, -1) if width(word[:n], size) <= most), 1)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line else lines


def printable(text: str) -> str:
    """The text without control characters and without what cannot be encoded (names in broken encodings)."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else " " for c in text)
