"""Pictures of a judged scan for its report: grey with evidence and numbered boxes, plain, energy ratio."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.scan import Scan
from leadline.inference import lettering
from leadline.inference.lettering import BOLD, Picture

WIDEST = 1400
DARKEST = {"parcel": 1e-3, "container": 3e-4}
RATIO = {"parcel": (1.15, 2.3), "container": (1.0, 1.16)}
"""-ln T(low) / -ln T(high) from the lightest to the heaviest goods, by kind of scanner."""

COLOURS = {
    "antimony": (0, 150, 255),
    "rare_earth_oxide": (240, 200, 0),
    "rare_earth_magnet": (235, 80, 235),
}
FAINTEST = 0.15


def read_maps(data: bytes, maps: dict[str, Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What `files.maps_bytes` wrote.

    Returns:
        Evidence float32 (F, h, w), 0..1, and areal density float32 (2, h, w), g/cm2.
    """
    shape = len(maps["families"]), maps["rows"], maps["columns"]
    count = shape[0] * shape[1] * shape[2]
    evidence = np.frombuffer(data, np.uint8, count).reshape(shape).astype(np.float32) / np.float32(255)
    areal = np.frombuffer(data, "<f4", 2 * shape[1] * shape[2], count).reshape(2, *shape[1:])
    return np.asarray(evidence, np.float32), areal.astype(np.float32)


def grey(scan: Scan, kind: str) -> Picture:
    """The high energy, logarithmic, white = open beam; uint8 (rows, columns, 3), at most `WIDEST` wide."""
    small = _fitted(scan)[0]
    darkest = DARKEST[kind]
    values = 255 * (1 - np.log(np.clip(small, darkest, 1)) / np.log(darkest))
    return np.asarray(cv2.cvtColor(values.astype(np.uint8), cv2.COLOR_GRAY2BGR), np.uint8)


def marked(scan: Scan, kind: str, evidence: npt.NDArray[np.float32], maps: dict[str, Any], line: dict) -> Picture:
    """`grey` with the evidence for watched families as heat, and the regions as numbered boxes."""
    picture = grey(scan, kind)
    watched = [maps["families"].index(name) for name in maps["watched"]]
    zoom = picture.shape[1] / scan.shape[1]
    cells = evidence[watched].max(axis=0)
    size = (
        max(1, round(cells.shape[1] * maps["stride"] * zoom)),
        max(1, round(cells.shape[0] * maps["stride"] * zoom)),
    )
    heat = cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR)[: picture.shape[0], : picture.shape[1]]
    full = np.zeros(picture.shape[:2], np.float32)
    full[: heat.shape[0], : heat.shape[1]] = heat
    share = 0.6 * np.clip((full - FAINTEST) / (0.6 - FAINTEST), 0, 1)[..., None]
    colours = cv2.applyColorMap((255 * full).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = np.asarray(picture * (1 - share) + colours * share, np.uint8)
    for number, region in enumerate(line["regions"], 1):
        x0, y0, x1, y1 = (round(v * zoom) for v in region["box"])
        colour = COLOURS.get(region["family"], (90, 230, 90))
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), (0, 0, 0), 4)
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), colour, 2)
        top = y0 - 24 if y0 >= 24 else y0 + 3
        cv2.rectangle(picture, (x0, top), (x0 + 22, top + 22), (0, 0, 0), -1)
        lettering.write(picture, str(number), x0 + 5, top, 17, colour, BOLD)
    return picture


def ratio(scan: Scan, kind: str) -> Picture:
    """Pseudo-colour of the energy ratio: orange = light, green = between, blue = heavy; dark = dense."""
    high, low = (cv2.blur(channel, (3, 3)) for channel in _fitted(scan))
    a_high = -np.log(np.clip(high, 1e-4, 1))
    a_low = -np.log(np.clip(low, 1e-4, 1))
    least, most = RATIO[kind]
    share = np.clip((a_low / np.maximum(a_high, 0.02) - least) / (most - least), 0, 1)
    hue = (14 + 104 * share).astype(np.uint8)
    value = 255 * (1 + np.log(np.clip(high, DARKEST[kind], 1)) / -np.log(DARKEST[kind]))
    strength = np.clip(a_high / 0.12, 0, 1) * 210
    hsv = np.stack([hue, strength.astype(np.uint8), np.clip(value, 0, 255).astype(np.uint8)], axis=2)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)


def jpeg(picture: Picture, quality: int = 88) -> bytes:
    """A picture as JPEG."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data.tobytes())


def _fitted(scan: Scan) -> npt.NDArray[np.float32]:
    """The transmissions, averaged down to at most `WIDEST` columns, or enlarged where small."""
    rows, columns = scan.shape
    zoom = min(1.0, WIDEST / columns) if columns > 700 else 700 / columns
    size = (max(1, round(columns * zoom)), max(1, round(rows * zoom)))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, size, interpolation=method) for channel in scan.transmission])
