"""Palettes: from a vendor's 8-bit colours to both transmissions, with what the colours leave uncertain.

A dual-energy scanner shows attenuation as darkness and material as hue: orange for organic matter, green
for mixed and light metals, blue for metal (the convention of all large vendors; the exact colours and the
curve of brightness differ and are not published). A palette is the inverse as a table: for brightness and
position between the three hues it gives mean and standard deviation of -ln T (high) and of the energy
ratio ln T (low) / ln T (high) over everything that may have been shown in that colour. Palettes are fitted
(`palette_fit`, `scripts/fit_palettes.py`), and kept as JSON in `datasets/data/palettes.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import FileError, Kind, LeadlineError, Uncertainty

Float32Array = npt.NDArray[np.float32]

BRIGHTNESS = np.linspace(0, 1, 26).astype(np.float32)
"""Brightness of the table's rows: Rec. 601 luma, 0 to 1."""
POSITIONS = np.linspace(0, 2, 9).astype(np.float32)
"""Positions of the table's columns: 0 = the vendor's orange, 1 = green, 2 = blue. One more column is for grey."""
DEFAULT: Mapping[Kind | None, str] = {"parcel": "parcel", "container": "container", None: "parcel"}
"""Palette for a scanner whose vendor is not known."""

_TABLES = ("attenuation", "attenuation_sd", "ratio", "ratio_sd")
_COLOURFUL = 0.55  # share of a pure colour's chroma from which the hue counts fully


@dataclass(frozen=True)
class Palette:
    """A mapping from colour to transmission.

    Attributes:
        name: identifier.
        title: one line for people: whose colours, fitted on what.
        hues: float32 (3, B), hue of orange, green and blue at each brightness, degrees, rising.
        chroma: float32 (B,), largest minus smallest of red, green, blue of a pure colour, 0 to 1.
        attenuation, attenuation_sd: float32 (B, P + 1), mean and standard deviation of -ln T (high).
        ratio, ratio_sd: float32 (B, P + 1), of ln T (low) / ln T (high).
    """

    name: str
    title: str
    hues: Float32Array
    chroma: Float32Array
    attenuation: Float32Array
    attenuation_sd: Float32Array
    ratio: Float32Array
    ratio_sd: Float32Array

    def coordinates(self, planes: npt.NDArray[np.uint8]) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Where colours lie on the palette.

        Args:
            planes: uint8 (3, ...) red, green, blue, or (1, ...) grey.

        Returns:
            float32 of the trailing shape: brightness 0 to 1; position 0 to 2; how colourful, 0 (grey) to 1.
        """
        values = planes.astype(np.float32) / np.float32(255)
        if len(values) == 1:
            nothing = np.zeros_like(values[0])
            return values[0], nothing, nothing
        red, green, blue = values
        brightness = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
        hue, chroma = hue_of(values)
        row = brightness * np.float32(len(BRIGHTNESS) - 1)
        orange, middle, metal = (_at(knots, row) for knots in self.hues)
        hue = np.where(hue > metal + 60, hue - 360, hue)  # red lies before orange
        first = (hue - orange) / np.maximum(middle - orange, 1)
        second = 1 + (hue - middle) / np.maximum(metal - middle, 1)
        position = np.clip(np.where(hue < middle, first, second), 0, 2).astype(np.float32)
        pure = np.maximum(_at(self.chroma, row), np.float32(0.02))
        return brightness, position, np.clip(chroma / (np.float32(_COLOURFUL) * pure), 0, 1)

    def estimate(self, planes: npt.NDArray[np.uint8]) -> tuple[Float32Array, Uncertainty]:
        """Both transmissions of a picture, and how far they may be off.

        Args:
            planes: uint8 (3, rows, columns) red, green, blue, or (1, rows, columns) grey.

        Returns:
            float32 (2, rows, columns), 0 to 1, high and low energy; and the standard deviations.
        """
        brightness, position, colourful = self.coordinates(planes)
        row = (brightness * np.float32(len(BRIGHTNESS) - 1)).astype(np.float32)
        column = (position * np.float32((len(POSITIONS) - 1) / 2)).astype(np.float32)
        values = {}
        for name in ("attenuation", "ratio"):
            mean, spread = getattr(self, name), getattr(self, f"{name}_sd")
            hued, hued_sd = (_between(t[:, :-1], column, row) for t in (mean, spread))
            grey, grey_sd = (_at(t[:, -1], row) for t in (mean, spread))
            both = colourful * hued + (1 - colourful) * grey
            variance = colourful * (hued_sd**2 + (hued - both) ** 2) + (1 - colourful) * (
                grey_sd**2 + (grey - both) ** 2
            )
            values[name] = both, np.sqrt(variance)
        attenuation, ratio = values["attenuation"][0], np.maximum(values["ratio"][0], 1)
        transmission = np.exp(-np.stack([attenuation, attenuation * ratio])).astype(np.float32)
        return transmission, Uncertainty(values["attenuation"][1], values["ratio"][1], self.name)

    @cached_property
    def sha256(self) -> str:
        """Of what it says: two palettes with the same hash read every picture alike."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """JSON types, rounded to what matters."""
        tables = {name: np.round(getattr(self, name).astype(float), 4).tolist() for name in ("chroma", *_TABLES)}
        return {"name": self.name, "title": self.title, "hues": np.round(self.hues.astype(float), 1).tolist()} | tables

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Palette:
        """The palette of `as_dict`.

        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        arrays = {k: np.asarray(values[k], np.float32) for k in ("hues", "chroma", *_TABLES)}
        rows, columns = len(BRIGHTNESS), len(POSITIONS) + 1
        shapes = {"hues": (3, rows), "chroma": (rows,)} | dict.fromkeys(_TABLES, (rows, columns))
        for key, array in arrays.items():
            if array.shape != shapes[key] or not np.isfinite(array).all() or array.min() < 0:
                raise ValueError(f"{key} is no table of {' x '.join(map(str, shapes[key]))} values of 0 or more")
        if not (np.diff(arrays["hues"], axis=0) > 0).all():
            raise ValueError("hues do not rise from orange over green to blue")
        if (np.diff(arrays["attenuation"], axis=0) > 1e-6).any():
            raise ValueError("attenuation rises with brightness")
        return Palette(str(values["name"]), str(values["title"]), **arrays)


@cache
def palettes() -> Mapping[str, Palette]:
    """The palettes that ship with leadline, by name."""
    text = (files("leadline.datasets") / "data" / "palettes.json").read_text("utf-8")
    return {entry["name"]: Palette.from_dict(entry) for entry in json.loads(text)}


def palette(name: Palette | str | Path | None, kind: Kind | None = None) -> Palette:
    """A palette by name or file; without either, that of the scanner's kind; one that is read already is returned.

    Raises:
        LeadlineError: there is no such palette.
        FileError: the file is no palette.
    """
    if isinstance(name, Palette):
        return name
    if name is None:
        return palettes()[DEFAULT[kind]]
    if str(name) in palettes():
        return palettes()[str(name)]
    path = Path(name)
    if path.suffix.lower() != ".json":
        known = ", ".join(palettes())
        raise LeadlineError(f"--palette {name}: not one of {known}; name one, or a file made by `leadline palette`")
    try:
        return Palette.from_dict(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", "check the path of the palette") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(path, f"is no palette ({error})", "make one with `leadline palette`") from error


def hue_of(rgb: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Hue in degrees, 0 to 360 (0 for grey), and chroma, 0 to 1, of float32 (3, ...) colours."""
    red, green, blue = rgb
    largest, smallest = rgb.max(axis=0), rgb.min(axis=0)
    chroma = largest - smallest
    some = np.maximum(chroma, np.float32(1e-4))
    sixths = np.select(
        [chroma <= 0, largest == red, largest == green],
        [np.zeros_like(chroma), (green - blue) / some % 6, (blue - red) / some + 2],
        (red - green) / some + 4,
    )
    return (60 * sixths).astype(np.float32), chroma


def _at(values: Float32Array, row: Float32Array) -> Float32Array:
    """A column of a table between its rows."""
    low = np.minimum(row.astype(np.int32), len(values) - 2)
    share = row - low
    return (values[low] * (1 - share) + values[low + 1] * share).astype(np.float32)


def _between(table: Float32Array, column: Float32Array, row: Float32Array) -> Float32Array:
    """A table between its rows and columns."""
    shape = (-1, 1) if column.ndim == 1 else column.shape  # cv2 takes no more than 32,767 columns
    x, y = (np.ascontiguousarray(v).reshape(shape) for v in (column, row))
    parts = [
        cv2.remap(
            np.ascontiguousarray(table), x[k : k + 30000], y[k : k + 30000], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for k in range(0, len(x), 30000)
    ]  # fmt: skip
    return np.concatenate(parts).reshape(column.shape).astype(np.float32)
