"""Overlays by their properties: nothing clipped, nothing overlapping, every part there."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from leadline.datasets.scan import Declaration, LeadlineError, Scan
from leadline.inference import lettering, overlay
from leadline.inference.engine import Scores
from leadline.inference.quality import assess
from leadline.inference.verdict import Verdict, verdict_of

Picture = Callable[..., Scan]
Answers = Callable[..., Scores]
CHINESE = Declaration("690721", "瓷砖胶粘剂，每袋二十五公斤，产地广东佛山" * 6)


def drawn(
    picture: Picture,
    answers: Answers,
    shape: tuple[int, int],
    kind: str = "parcel",
    declared: Declaration | None = None,
) -> tuple[np.ndarray, Verdict]:
    rows, columns = shape
    boxes = ((columns // 8, rows // 4, columns // 2, rows - 4, 1.0), (columns // 2, 4, columns - 4, rows // 2, 20.0))
    scan = picture(kind, shape=shape, boxes=boxes, declaration=declared)
    scan = replace(scan, path="archive/" + "a long name of a scan " * 12 + ".tif")
    cells = [-(-n // {"parcel": 4, "container": 8}[kind]) for n in shape]
    places = (
        ("rare_earth_oxide", (0, 0, cells[1] // 5, cells[0] // 4), 0.9),
        ("antimony", (cells[1] // 4, cells[0] // 2, cells[1] // 2, cells[0]), 0.8),
        ("rare_earth_magnet", (cells[1] - 2, cells[0] - 2, cells[1], cells[0]), 0.97),
    )
    scores = answers(kind, shape=shape, score=0.93, places=places, areal=4.0)
    quality = assess(scan)
    verdict = verdict_of(scan, scores, quality, 0.5)
    return overlay.draw(scan, scores, quality, verdict), verdict


SHAPES = [(32, 32), (40, 300), (300, 40), (400, 500), (700, 1400), (900, 3200), (2000, 200)]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size(shape: tuple[int, int], picture: Picture, answers: Answers) -> None:
    kind = "container" if shape[1] > 1000 else "parcel"
    image, verdict = drawn(picture, answers, shape, kind, CHINESE)
    assert image.dtype == np.uint8
    assert overlay.LEAST_WIDTH <= image.shape[1] <= overlay.MOST_WIDTH
    assert verdict.verdict == "inspect"
    # the outermost pixels are background: no text or legend runs over an edge
    for edge in (image[:, -2:], image[:, :2]):
        ink = (edge.astype(int).min(axis=2) > 200).mean(axis=1)
        assert ink[:60].max() == 0
        assert ink[-60:].max() == 0


def test_every_part_is_there(picture: Picture, answers: Answers) -> None:
    image, _ = drawn(picture, answers, (400, 500))
    banner = image[:30, 300:500]
    assert tuple(banner.reshape(-1, 3)[0]) == overlay.BANNER["inspect"]
    for colour in [*overlay.FAMILY.values(), overlay.OPAQUE]:
        assert (image == colour).all(axis=2).sum() > 100
    below = image[-200:]
    assert (below.max(axis=2) > 200).mean() > 0.01


@pytest.mark.parametrize("word", ["clear", "inspect", "rescan"])
def test_each_verdict_has_its_banner(word: str, picture: Picture, answers: Answers) -> None:
    scan, scores = picture(), answers()
    quality = assess(scan)
    verdict = replace(verdict_of(scan, scores, quality, 0.5), verdict=word)
    image = overlay.draw(scan, scores, quality, verdict)
    assert tuple(image[2, 2]) == overlay.BANNER[word]


def test_labels_do_not_overlap(picture: Picture, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve boxes close together: labels stay inside the picture and off each other."""
    taken = []
    place = overlay._place

    def watched(*arguments: object) -> object:
        spot = place(*arguments)
        if spot is not None:
            taken.append(spot)
        return spot

    monkeypatch.setattr(overlay, "_place", watched)
    scan = picture(shape=(200, 260))
    places = tuple(("antimony", (x, y, x + 6, y + 6), 0.9) for x in range(2, 60, 14) for y in range(2, 40, 16))
    scores = answers(shape=(200, 260), score=0.9, places=places, areal=3.0)
    quality = assess(scan)
    overlay.draw(scan, scores, quality, verdict_of(scan, scores, quality, 0.5))
    assert len(taken) > 4
    for i, a in enumerate(taken):
        assert not any(a.meets(b) for b in taken[i + 1 :])


def test_evidence_lies_where_it_belongs(picture: Picture, answers: Answers) -> None:
    scan = picture(shape=(400, 500), boxes=())
    scores = answers(shape=(400, 500), places=(("antimony", (50, 50, 60, 60), 1.0),))
    quality = assess(scan)
    verdict = replace(verdict_of(scan, scores, quality, 0.5), regions=())
    image = overlay.draw(scan, scores, quality, verdict)
    colourful = (image.max(axis=2).astype(int) - image.min(axis=2)) > 60
    zoom = 760 / 500
    rows = np.flatnonzero(colourful[150:-150].any(axis=1)) + 150
    columns = np.flatnonzero(colourful[150:-150].any(axis=0))
    assert np.mean(columns) / zoom == pytest.approx(4 * 55, abs=6)
    assert len(rows) / zoom == pytest.approx(40, abs=14)


class TestLettering:
    @pytest.mark.parametrize("text", ["short", "a longer line of words", "瓷砖胶粘剂产地广东佛山", "x" * 200, ""])
    @pytest.mark.parametrize("most", [40, 120, 500])
    def test_shortened_and_wrapped_fit(self, text: str, most: int) -> None:
        assert lettering.width(lettering.shortened(text, most, 16), 16) <= most
        lines = lettering.wrapped(text, most, 16)
        assert all(lettering.width(line, 16) <= most for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")

    @pytest.mark.parametrize("size", [14, 16, 20, 30])
    @pytest.mark.parametrize("text", ["Ågjpqy|", "瓷砖胶", "▲ INSPECT", "1.2 m² “x”…"])
    def test_ink_stays_in_its_box(self, text: str, size: int) -> None:
        for weight in (lettering.PLAIN, lettering.BOLD):
            picture = np.zeros((100, 400, 3), np.uint8)
            lettering.write(picture, text, 50, 40, size, (255, 255, 255), weight)
            rows, columns = np.nonzero(picture.max(axis=2) > 40)
            assert len(rows) > 20
            assert rows.min() >= 40 - 2
            assert rows.max() <= 40 + lettering.height(size)
            assert columns.min() >= 50 - 2
            assert columns.max() <= 50 + lettering.width(text, size, weight) + 2

    def test_what_cannot_be_drawn(self) -> None:
        picture = np.zeros((40, 300, 3), np.uint8)
        lettering.write(picture, "a\x00b\n\udcffc", 5, 5, 16, (255, 255, 255))
        assert picture.any()


class TestAlbum:
    def test_names(self, tmp_path: Path, picture: Picture, answers: Answers) -> None:
        album = overlay.Album(tmp_path / "new" / "album")
        scan, scores = picture(), answers()
        quality = assess(scan)
        for sha, path in (("a" * 64, "x/scan.tif"), ("b" * 64, "y/scan.tif"), ("a" * 64, "z/scan.tif")):
            verdict = replace(verdict_of(scan, scores, quality, 0.5), sha256=sha, path=path)
            image = cv2.imread(str(album.add(scan, scores, quality, verdict)))
            assert image is not None
        names = sorted(p.name for p in album.folder.iterdir())
        assert names == ["scan-aaaaaaaa-2.png", "scan-aaaaaaaa.png", "scan-bbbbbbbb.png"]

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(LeadlineError, match="--overlays"):
            overlay.Album(tmp_path / "file")

    def test_a_full_disk(self, tmp_path: Path, picture: Picture, answers: Answers) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        with pytest.raises(LeadlineError, match="cannot be written"):
            overlay.save(np.zeros((10, 10, 3), np.uint8), tmp_path / "missing folder" / "x.png")


def test_shapes_differ(picture: Picture, answers: Answers) -> None:
    """Wider scans give wider pictures up to the limit."""
    widths = [drawn(picture, answers, (100, n))[0].shape[1] for n in (800, 1200, 1700, 4000)]
    assert all(a <= b for a, b in pairwise(widths))
