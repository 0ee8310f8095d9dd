"""The picture of a verdict: the scan in grey, evidence over it, boxes, legend, reasons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from leadline.datasets.declarations import describe
from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference import lettering, reasons
from leadline.inference.engine import Scores
from leadline.inference.lettering import BOLD, Colour, Picture
from leadline.inference.quality import Quality
from leadline.inference.verdict import Verdict

LEAST_WIDTH, MOST_WIDTH = 760, 1800
"""Width of a picture in pixels: room for the words, and no more than a screen shows."""

DARKEST = {"parcel": 1e-3, "container": 3e-4, None: 1e-3}
"""Transmission that is drawn black; the scale is logarithmic."""

BANNER: dict[str, Colour] = {"clear": (74, 122, 32), "inspect": (38, 38, 190), "rescan": (0, 122, 178)}
SIGN = {"clear": "●", "inspect": "▲", "rescan": "■"}
FAMILY: dict[str, Colour] = {
    "antimony": (0, 150, 255),
    "rare_earth_oxide": (240, 200, 0),
    "rare_earth_magnet": (235, 80, 235),
}
OTHER: Colour = (90, 230, 90)
OPAQUE: Colour = (0, 215, 255)
INK, DIM, PAPER, WHITE = (235, 235, 235), (165, 165, 165), (30, 28, 27), (255, 255, 255)
TEXT, SMALL, MARGIN = 16, 14, 14
FAINTEST = 0.15
"""Evidence below this is not drawn."""


def draw(scan: Scan, scores: Scores, quality: Quality, verdict: Verdict) -> Picture:
    """Draw a verdict.

    Returns:
        uint8 (rows, columns, 3), blue, green, red: banner, scan with heat map and boxes, legend, reasons.
    """
    rows, columns = scan.shape
    zoom = min(max(LEAST_WIDTH / columns, 1.0), 4.0) if columns < LEAST_WIDTH else min(1.0, MOST_WIDTH / columns)
    zoom = min(zoom, max(1.0, 1600 / rows)) if zoom > 1 else zoom
    image = _image(scan, zoom)
    _heat(image, _evidence(scores, scan, image.shape), FAINTEST)
    _hatch(image, quality, verdict)
    _boxes(image, verdict, zoom)
    wide = max(image.shape[1], LEAST_WIDTH)
    framed = np.full((image.shape[0], wide, 3), PAPER, np.uint8)
    left = (wide - image.shape[1]) // 2
    framed[:, left : left + image.shape[1]] = image
    return np.concatenate([_banner(verdict, scores, wide), framed, _legend(verdict, wide), _words(verdict, wide)])


def save(picture: Picture, path: Path) -> None:
    """Write a picture as PNG; the file appears whole or not at all.

    Raises:
        LeadlineError: it cannot be written.
    """
    _, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise LeadlineError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


class Album:
    """A folder of overlays; two scans of one name never overwrite each other.

    A picture's name is the scan's and eight digits of its content's hash, so that screening the same
    files again replaces their pictures; copies of one file in one run are numbered.

    Raises:
        LeadlineError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LeadlineError(
                f"--overlays {folder}: the folder cannot be made ({error.strerror}); choose another"
            ) from error
        if not os.access(folder, os.W_OK):
            raise LeadlineError(f"--overlays {folder}: the folder may not be written to; choose another")

    def add(self, scan: Scan, scores: Scores, quality: Quality, verdict: Verdict) -> Path:
        """Draw a verdict and write the picture.

        Returns:
            Its path.

        Raises:
            LeadlineError: it cannot be written.
        """
        key = f"{Path(verdict.path).stem[:80]}-{verdict.sha256[:8]}"
        name, number = key, 2
        while name in self._taken:
            name, number = f"{key}-{number}", number + 1
        self._taken.add(name)
        path = self.folder / f"{name}.png"
        save(draw(scan, scores, quality, verdict), path)
        return path


def _image(scan: Scan, zoom: float) -> Picture:
    """The high energy in grey, logarithmic, at the picture's scale. Averaged in transmission, then logged."""
    rows, columns = scan.shape
    size = (max(1, round(columns * zoom)), max(1, round(rows * zoom)))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    t = cv2.resize(scan.transmission[0], size, interpolation=method)
    darkest = DARKEST[scan.scanner.kind]
    grey = 255 * (1 - np.log(np.clip(t, darkest, 1)) / np.log(darkest))
    return cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _evidence(scores: Scores, scan: Scan, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Greatest evidence for a watched family, at the picture's scale."""
    contract = scores.model.contract
    watched = [contract.families.index(f) for f in contract.watched]
    evidence = scores.evidence[watched].max(axis=0)
    # The cells at the edge may reach beyond the scan: enlarge all, then cut.
    rows, columns = scan.shape
    high = round(evidence.shape[0] * scores.stride * shape[0] / rows)
    wide = round(evidence.shape[1] * scores.stride * shape[1] / columns)
    large = cv2.resize(evidence, (max(wide, shape[1]), max(high, shape[0])), interpolation=cv2.INTER_LINEAR)
    return large[: shape[0], : shape[1]]


def _heat(image: Picture, evidence: npt.NDArray[np.float32], faintest: float) -> None:
    """Blend the heat map in: the more evidence, the less of the scan shows."""
    if evidence.max() < faintest:
        return
    colours = cv2.applyColorMap((255 * np.clip(evidence, 0, 1)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = 0.65 * np.clip((evidence - faintest) / (0.6 - faintest), 0, 1)[..., None]
    image[:] = (image * (1 - share) + colours * share).astype(np.uint8)


def _hatch(image: Picture, quality: Quality, verdict: Verdict) -> None:
    """Hatch the places that nothing penetrates, as far as they are reported."""
    places = verdict.quality["unpenetrated"]
    if not places:
        return
    size = (image.shape[1], image.shape[0])
    mask = cv2.resize(quality.opaque.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    y, x = np.ogrid[: size[1], : size[0]]
    image[mask & ((x + y) % 12 < 2)] = OPAQUE


@dataclass
class _Rectangle:
    left: int
    top: int
    right: int
    bottom: int

    def meets(self, other: _Rectangle) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _boxes(image: Picture, verdict: Verdict, zoom: float) -> None:
    """Boxes, each with its number and, where there is room, family, probability and mass."""
    high, wide = image.shape[:2]
    boxes = []
    for region in verdict.regions:
        x0, y0, x1, y1 = (round(v * zoom) for v in region.box)
        boxes.append(_Rectangle(max(0, x0), max(0, y0), min(wide - 1, x1), min(high - 1, y1)))
    for region, box in zip(verdict.regions, boxes, strict=True):
        cv2.rectangle(image, (box.left, box.top), (box.right, box.bottom), (0, 0, 0), 4)
        cv2.rectangle(image, (box.left, box.top), (box.right, box.bottom), FAMILY.get(region.family, OTHER), 2)
    taken: list[_Rectangle] = []
    for number, (region, box) in enumerate(zip(verdict.regions, boxes, strict=True), 1):
        text = f"{number}  {_label(region)}"
        place = _place(text, box, taken, boxes, wide, high) or _place(str(number), box, taken, [], wide, high)
        if place is None:
            continue  # the legend still tells it
        shown = text if place.right - place.left >= lettering.width(text, SMALL) else str(number)
        cv2.rectangle(image, (place.left, place.top), (place.right - 1, place.bottom - 1), (0, 0, 0), -1)
        lettering.write(image, shown, place.left + 4, place.top, SMALL, FAMILY.get(region.family, OTHER), BOLD)
        taken.append(place)


def _place(
    text: str, box: _Rectangle, taken: list[_Rectangle], boxes: list[_Rectangle], wide: int, high: int
) -> _Rectangle | None:
    """A free place for a label: above, below, right of, left of or in the box; `None` where there is none."""
    width, height = lettering.width(text, SMALL, BOLD) + 8, lettering.height(SMALL)
    others = [b for b in boxes if b is not box]
    left = min(max(0, box.left - 1), wide - width)
    spots = (
        (left, box.top - height - 1), (left, box.bottom + 2), (box.right + 2, box.top), (box.left - width - 2, box.top),
        (left, box.top + 2),
    )  # fmt: skip
    for x, y in spots:
        spot = _Rectangle(x, y, x + width, y + height)
        inside = spot.left >= 0 and spot.top >= 0 and spot.right <= wide and spot.bottom <= high
        if inside and not any(spot.meets(other) for other in taken + others):
            return spot
    return None


def _label(region: reasons.Region) -> str:
    mass = f", {reasons.mass_range(region.mass_kg)}" if region.mass_kg else ""
    return f"{reasons.title(region.family)} {reasons.percent(region.probability)}{mass}"


def _banner(verdict: Verdict, scores: Scores, wide: int) -> Picture:
    """Verdict, score against threshold, file, declared goods."""
    big = 30
    picture = np.full((2 * MARGIN + lettering.height(big) + 2 * lettering.height(TEXT), wide, 3), PAPER, np.uint8)
    picture[: MARGIN + lettering.height(big)] = BANNER[verdict.verdict]
    word = f"{SIGN[verdict.verdict]} {verdict.verdict.upper()}"
    lettering.write(picture, word, MARGIN, MARGIN // 2, big, WHITE, BOLD)
    score = f"score {verdict.score:.3f}   threshold {verdict.threshold:.3f}"
    left = wide - MARGIN - lettering.width(score, 20)
    lettering.write(picture, score, left, MARGIN // 2 + 7, 20, WHITE)
    top = MARGIN + lettering.height(big) + MARGIN // 2
    model = f"{verdict.model['name']} {verdict.model['version']}"
    right = wide - MARGIN - lettering.width(model, SMALL)
    lettering.write(picture, model, right, top, SMALL, DIM)
    name = lettering.shortened(verdict.path, right - 2 * MARGIN, TEXT)
    lettering.write(picture, name, MARGIN, top, TEXT, INK)
    declared = f"Declared: {describe(verdict.declared)}" if verdict.declared else "Nothing is declared"
    top += lettering.height(TEXT)
    lettering.write(picture, lettering.shortened(declared, wide - 2 * MARGIN, TEXT), MARGIN, top, TEXT, INK)
    return picture


def _legend(verdict: Verdict, wide: int) -> Picture:
    """What the colours mean, as many lines as the width asks for."""
    ramp = np.tile(np.linspace(0, 255, 120, dtype=np.uint8), (TEXT - 4, 1))
    bar = np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO), np.uint8)
    hatch = np.zeros((TEXT - 4, 26, 3), np.uint8)
    y, x = np.ogrid[: hatch.shape[0], : hatch.shape[1]]
    hatch[(x + y) % 12 < 2] = OPAQUE
    entries: list[tuple[Picture, str]] = [(bar, "evidence for watch-list material, 0 to 1")]
    for family in dict.fromkeys(r.family for r in verdict.regions):
        box = np.zeros((TEXT - 4, 26, 3), np.uint8)
        cv2.rectangle(box, (0, 0), (25, TEXT - 5), FAMILY.get(family, OTHER), 2)
        entries.append((box, reasons.title(family)))
    if verdict.quality["unpenetrated"]:
        entries.append((hatch, "nothing penetrates"))
    line = lettering.height(SMALL) + 4
    placed, x0, row = [], MARGIN, 0
    for sample, text in entries:
        length = sample.shape[1] + 6 + lettering.width(text, SMALL)
        if x0 > MARGIN and x0 + length > wide - MARGIN:
            x0, row = MARGIN, row + 1
        placed.append((sample, text, x0, MARGIN // 2 + row * line))
        x0 += length + 2 * MARGIN
    picture = np.full((MARGIN // 2 + (row + 1) * line, wide, 3), PAPER, np.uint8)
    for sample, text, left, top in placed:
        picture[top + 3 : top + 3 + sample.shape[0], left : left + sample.shape[1]] = sample
        lettering.write(picture, text, left + sample.shape[1] + 6, top, SMALL, INK)
    return picture


def _words(verdict: Verdict, wide: int) -> Picture:
    """Regions by number, then the reasons, wrapped to the width."""
    lines: list[tuple[str, Colour]] = []
    for number, region in enumerate(verdict.regions, 1):
        lines.append((f"{number}  {_label(region)}", FAMILY.get(region.family, OTHER)))
    for reason in verdict.reasons:
        lines += [(part, INK) for part in lettering.wrapped(reason, wide - 2 * MARGIN, TEXT)]
    line, gap = lettering.height(TEXT), MARGIN // 2 if verdict.regions else 0
    picture = np.full((2 * MARGIN + gap + line * len(lines), wide, 3), PAPER, np.uint8)
    for i, (text, colour) in enumerate(lines):
        top = MARGIN // 2 + i * line + (gap if i >= len(verdict.regions) else 0)
        shown = lettering.shortened(text, wide - 2 * MARGIN, TEXT)
        lettering.write(picture, shown, MARGIN, top, TEXT, colour)
    return picture
