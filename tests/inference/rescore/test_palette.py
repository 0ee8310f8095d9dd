"""An archive of 8-bit pictures: the vendor's colours, what they leave open, and the row of the ledger."""

from __future__ import annotations

import base64
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leadline.datasets.formats import read_scan
from leadline.datasets.formats.palette import palettes
from leadline.datasets.simulator.vendor import coloured
from leadline.inference.rescore.compare import Flip
from leadline.inference.rescore.compare_html import thumbnail


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three colour pictures and a tar of one more: dark blue and green blocks in the open beam."""
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(4):
        brightness, hue, chroma = (np.full((96, 128), v, np.float32) for v in (0.98, 40.0, 0.02))
        brightness[20:60, 30:90], hue[20:60, 30:90], chroma[20:60, 30:90] = 0.1 + 0.12 * n, 207.0, 0.5
        brightness[65:90, 10:40], hue[65:90, 10:40], chroma[65:90, 10:40] = 0.5, 110.0, 0.4
        cv2.imwrite(str(folder / f"{n}.png"), coloured(brightness, hue, chroma)[::-1].transpose(1, 2, 0))
    with tarfile.open(folder / "more.tar", "w") as tar:
        tar.add(folder / "3.png", "3.png")
    (folder / "3.png").unlink()
    return folder


def test_colours_are_mapped_by_the_palette_and_the_rows_say_how_well(
    pictures: Path, run_rescore: Any, leadline: Any, matters: Any, models: dict[str, Path], tmp_path: Path
) -> None:
    place = tmp_path / "cargo.ledger"
    sources = (pictures, pictures / "more.tar")
    options = ("--ledger", place, "--scanner", "parcel", "--pseudocolour")
    done = run_rescore(*sources, *options, "--palette", "sixray")
    assert done.returncode == 0, done.stderr
    rows = {Path(row.body["path"]).name: row.body for row in matters(place)}
    assert len(rows) == 4
    for body in rows.values():
        assert body["scanner"]["fidelity"] == body["quality"]["fidelity"] == "pseudocolour"
        assert body["quality"]["attenuation_sd"] > 0.1 and body["quality"]["ratio_sd"] > 0.02
        assert any("estimated" in reason and "colours" in reason for reason in body["reasons"])
        assert body["profile"]["palette"] == "sixray" and len(body["profile"]["palette_sha256"]) == 64

    # the same as `leadline screen` says, scan by scan
    screen = ("--scanner", "parcel", "--pseudocolour", "--palette", "sixray", "--model", models["parcel"])
    told = leadline("screen", *sorted(pictures.glob("*.png")), *screen, "--json", "--quiet")
    for line in map(json.loads, told.stdout.splitlines()):
        row = rows[Path(line["path"]).name]
        assert {k: row[k] for k in ("verdict", "score", "quality", "reasons")} == {
            k: line[k] for k in ("verdict", "score", "quality", "reasons")
        }

    # a file of the same palette is the same job; another palette is another
    copy = tmp_path / "mine.json"
    copy.write_text(json.dumps(palettes()["sixray"].as_dict()))
    again = run_rescore(*sources, *options, "--palette", copy)
    assert again.returncode == 0 and len(matters(place)) == 4
    other = run_rescore(*sources, *options, "--palette", "parcel")
    assert other.returncode == 0 and len(matters(place)) == 8
    sd = {row.body["profile"]["palette"]: row.body["quality"]["attenuation_sd"] for row in matters(place)}
    assert len(set(sd.values())) == 2


def test_such_a_scan_is_drawn_where_its_verdict_changed(pictures: Path) -> None:
    place = pictures / "0.png"
    flip = Flip(
        read_scan(place, pseudocolour=True).sha256, str(place), "", "parcel", "", "clear", "inspect",
        0.1, 0.9, 0.5, 0.5, ("more",), ({"box": [10, 65, 40, 90]},), 1.0,
    )  # fmt: skip
    url = thumbnail(flip)
    assert url is not None
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (240, 320, 3) and drawn[100, 150].max() < 180 and drawn[5, 5].min() > 240  # goods, open beam
    assert thumbnail(replace(flip, sha256="0" * 64)) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--palette", "sixray"], "--palette: maps the colours of 8-bit pictures; give --pseudocolour with it"),
        (["--pseudocolour", "--palette", "sixrays"], "--palette sixrays: not one of"),
        (["--pseudocolour", "--palette", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_a_palette_that_cannot_be_used(
    pictures: Path, run_rescore: Any, tmp_path: Path, options: list[str], told: str
) -> None:
    done = run_rescore(pictures, "--ledger", tmp_path / "x.ledger", *options)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x.ledger").exists()
