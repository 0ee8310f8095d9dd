"""Palettes: what the colours of a rendered scan tell, and how honest the stated uncertainty is."""

from __future__ import annotations

import csv
import json

import imagecodecs
import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.formats.palette import Palette, palette, palettes
from leadline.datasets.formats.palette_fit import colours_of, fit_pairs
from leadline.datasets.scan import FileError, LeadlineError
from leadline.datasets.simulator.simulate import simulate
from leadline.datasets.simulator.vendor import Display, coloured
from leadline.inference.cli import main
from leadline.inference.quality import assess


def rendered(index: int, name: str, kind: str = "parcel"):
    """A held-out scan and its picture on a display that no fit has seen."""
    sample = simulate(kind, 555, index, split="heldout")  # type: ignore[arg-type]
    colours = (palettes()["sixray"].hues, palettes()["sixray"].chroma) if name == "sixray" else None
    display = Display.draw(np.random.default_rng([index, 1]), colours)
    return sample, display.render(sample.scan.transmission, sample.machine)


@pytest.mark.parametrize(("name", "kind"), [("parcel", "parcel"), ("sixray", "parcel"), ("container", "container")])
def test_the_truth_lies_within_the_stated_uncertainty(name, kind):
    off, off_ratio = [], []
    for index in range(5 if kind == "parcel" else 4):
        sample, picture = rendered(index, name, kind)
        estimate, unsure = palettes()[name].estimate(picture)
        true = -np.log(np.clip(sample.scan.transmission, 1e-3, 1.2))
        goods = (true[0] > 0.1) & (true[0] < 5)
        off.append((np.abs(-np.log(estimate[0]) - true[0]) / unsure.attenuation)[goods])
        ratio = np.log(estimate[1]) / np.log(estimate[0])
        off_ratio.append((np.abs(ratio - true[1] / np.maximum(true[0], 0.01)) / unsure.ratio)[goods])
    for values in (off, off_ratio):
        z = np.concatenate(values)
        assert (z < 2).mean() > 0.85
        assert (z < 1).mean() > 0.4
        assert np.median(z) > 0.05  # and the intervals are not so wide that anything would do


def test_a_picture_tells_thick_from_thin_and_metal_from_organic():
    sample, picture = rendered(1, "parcel")
    estimate, _ = palettes()["parcel"].estimate(picture)
    true, found = -np.log(np.clip(sample.scan.transmission[0], 1e-3, 1)), -np.log(estimate[0])
    goods = true > 0.1
    assert np.corrcoef(true[goods], found[goods])[0, 1] > 0.8


def test_pairs_are_fitted_far_closer_than_vendors_in_general():
    """One display, its own scans: the scale of brightness is no longer open."""
    display = Display.draw(np.random.default_rng(5))
    pixels, truth = [], []
    for index in range(8):
        sample = simulate("parcel", 9, index)
        pixels.append(display.render(sample.scan.transmission, sample.machine).reshape(3, -1))
        truth.append(sample.scan.transmission.reshape(2, -1))
    own = fit_pairs("own", "test", np.concatenate(pixels[:6], axis=1), np.concatenate(truth[:6], axis=1))
    picture, light = np.concatenate(pixels[6:], axis=1), np.concatenate(truth[6:], axis=1)
    depth = -np.log(np.clip(light[0], 1e-3, 1.2))
    goods = (depth > 0.2) & (depth < 3)

    def error(p: Palette) -> float:
        return float(np.median(np.abs(-np.log(p.estimate(picture)[0][0]) - depth)[goods]))

    assert error(own) < 0.6 * error(palettes()["parcel"])
    stated = own.estimate(picture)[1].attenuation[goods]
    assert np.median(stated) < 0.6 * np.median(palettes()["parcel"].estimate(picture)[1].attenuation[goods])


def test_hues_are_found_in_pictures():
    brightness = np.random.default_rng(0).uniform(0.15, 0.9, 60_000).astype(np.float32)
    hue = np.repeat(np.array([30, 120, 215], np.float32), 20_000)
    pixels = coloured(brightness, hue, np.full_like(brightness, 0.3))
    hues, chroma = colours_of(pixels)
    np.testing.assert_allclose(hues[:, 6:20], np.array([30, 120, 215])[:, None] * np.ones(14), atol=3)
    assert np.abs(chroma[8:18] - 0.3).max() < 0.05


def test_a_palette_survives_its_file_and_bad_files_are_told(tmp_path):
    own = palettes()["sixray"]
    (tmp_path / "own.json").write_text(json.dumps(own.as_dict()), "utf-8")
    again = palette(tmp_path / "own.json")
    np.testing.assert_array_equal(again.attenuation, own.attenuation)
    assert palette(None, "container").name == "container" and palette("sixray") is own
    with pytest.raises(LeadlineError, match="not one of parcel, container"):
        palette("rainbow")
    with pytest.raises(FileError, match="cannot be read"):
        palette(tmp_path / "none.json")
    for broken in ({"name": "x"}, own.as_dict() | {"ratio": [[1.0]]}, own.as_dict() | {"chroma": [-1.0] * 26}):
        (tmp_path / "bad.json").write_text(json.dumps(broken), "utf-8")
        with pytest.raises(FileError, match="is no palette"):
            palette(tmp_path / "bad.json")


def test_the_scan_carries_its_uncertainty_into_quality(tmp_path):
    _, picture = rendered(1, "parcel")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(picture.transpose(1, 2, 0))))
    scan = read_scan(tmp_path / "a.png", scanner="parcel", pseudocolour=True)
    figures = assess(scan).figures()
    assert figures["fidelity"] == "pseudocolour"
    assert 0.1 < figures["attenuation_sd"] < 1.5 and 0.02 < figures["ratio_sd"] < 0.5
    measured = assess(simulate("parcel", 555, 1).scan).figures()
    assert measured["fidelity"] == "dual" and measured["attenuation_sd"] is measured["ratio_sd"] is None


def test_the_command_fits_pairs_and_the_reader_takes_the_palette(tmp_path):
    rows = []
    for index in range(2):
        sample = simulate("parcel", 9, index)
        picture = Display.draw(np.random.default_rng(5)).render(sample.scan.transmission, sample.machine)
        write_scan(sample.scan, tmp_path / f"{index}.tif")
        encoded = imagecodecs.png_encode(np.ascontiguousarray(picture.transpose(1, 2, 0)))
        (tmp_path / f"{index}.png").write_bytes(encoded)
        rows.append({"picture": f"{index}.png", "scan": f"{index}.tif"})
    with (tmp_path / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["picture", "scan"])
        writer.writeheader()
        writer.writerows(rows)
    out = tmp_path / "own.json"
    done = CliRunner().invoke(main, ["palette", "--pairs", str(tmp_path / "pairs.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    scan = read_scan(tmp_path / "0.png", pseudocolour=True, palette=out)
    assert scan.uncertainty is not None and scan.uncertainty.palette == "own"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["palette", "--out", "a.json"], "give either --pairs PATH or --pictures DIR"),
        (["palette", "--pictures", ".", "--out", "a.json"], "holds no 8-bit colour pictures"),
        (["palette", "--pairs", ".", "--out", "a.json"], "Colour, High and Low"),
        (["palette", "--pairs", "none.csv", "--out", "a.json"], "cannot be read"),
        (["palette", "--pictures", ".", "--out", "a.txt"], "end in .json"),
        (["screen", "x.png", "--palette", "parcel"], "give --pseudocolour with it"),
        (["screen", "x.png", "--pseudocolour", "--palette", "rainbow"], "not one of"),
    ],
)
def test_wrong_use_is_told(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and says in done.output, done.output
    assert not list(tmp_path.iterdir())


def test_a_pair_without_its_scan_is_told(tmp_path):
    (tmp_path / "pairs.csv").write_text("picture,scan\na.png\n", "utf-8")
    done = CliRunner().invoke(main, ["palette", "--pairs", str(tmp_path / "pairs.csv"), "--out", "a.json"])
    assert done.exit_code == 2 and "pairs.csv: line 2 lacks its picture or its scan" in done.output


def test_real_pictures_span_the_scale_of_materials(real_scans):
    scan = read_scan(real_scans / "sixray" / "benign" / "N0000001.jpg", pseudocolour=True, palette="sixray")
    high, low = scan.transmission
    goods = (high > 0.02) & (high < 0.8)
    ratio = np.log(low[goods]) / np.log(high[goods])
    assert 1 <= np.quantile(ratio, 0.1) < 1.3 < np.quantile(ratio, 0.95) < 2
