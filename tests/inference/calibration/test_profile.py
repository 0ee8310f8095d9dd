"""Tables and profiles as files, thresholds, correction, shift, and the way from wedges to a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import Kind, LeadlineError, Scan, Scanner
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.wedges import USUAL, wedge_scan
from leadline.inference.calibration.common import common_machine, fit_correction
from leadline.inference.calibration.correction import Correction
from leadline.inference.calibration.profile import Profile, read_profile, write_profile
from leadline.inference.calibration.response import Reading, predict, usual_machine
from leadline.inference.calibration.shift import shift_of
from leadline.inference.calibration.table import read_table
from leadline.inference.calibration.thresholds import at_pixel, thresholds_for
from leadline.inference.cli import main
from leadline.inference.rescore.item import profile_of
from leadline.inference.screening import Settings
from leadline.models import contract

HARD = Machine(
    "container", "crystal", (7.6, 3.9), ("8 MV", "4 MV"), ((("Fe", 40.0), ("Pb", 12.0)),) * 2, crystal_g_cm2=7.0,
    quanta=(1200.0, 800.0),
)  # fmt: skip


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


# --- tables --------------------------------------------------------------------------------------------------------

WEDGE = """[[wedge]]
scan = "steel.tif"
material = "steel"
box = [10, 10, 80, 40]
thickness_mm = [5, 10, 20, 40]
step_mm = 30
[[wedge]]
scan = "polyethylene.tif"
material = "polyethylene"
box = [10, 10, 80, 40]
thickness_mm = [50, 100, 200]
"""


def test_a_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "wedges.toml").write_text(WEDGE)
    steel, plastic = read_table(tmp_path / "wedges.toml")
    assert steel.scan == tmp_path / "steel.tif" and steel.thickness_mm == (5, 10, 20, 40) and steel.step_mm == 30
    assert plastic.density == pytest.approx(0.935) and plastic.step_mm is None and plastic.along == "x"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"steel"', '"unobtainium"', "wedge 1: material 'unobtainium' is not in the catalogue"),
        ("[5, 10, 20, 40]", "[5, 10]", "wedge 1: 2 steps"),
        ("[5, 10, 20, 40]", "[5, 20, 10]", "neither rises nor falls"),
        ("[5, 10, 20, 40]", '["5", "10", "20"]', "not a list of thicknesses"),
        ("[5, 10, 20, 40]", "[0, 10, 20]", "not a list of thicknesses"),
        ("[10, 10, 80, 40]", "[80, 10, 10, 40]", "is not \\[x0, y0, x1, y1\\]"),
        ("step_mm = 30", "step_mm = -1", "wedge 1: step_mm -1 is not a number above 0"),
        ("step_mm = 30", "colour = 3", "wedge 1: unknown entry 'colour'"),
        ("step_mm = 30", 'along = "z"', 'neither "x" nor "y"'),
        ('scan = "steel.tif"\n', "", "wedge 1: scan is missing"),
        ('"polyethylene"', '"steel"', "only wedges of steel"),
        ("[[wedge]]", "[wedges]", "not TOML|holds no"),
        ("[[wedge]]", "[[wedge", "not TOML"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wedges.toml"
    path.write_text(WEDGE.replace(old, new))
    with pytest.raises(LeadlineError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))


# --- thresholds, correction, shift ---------------------------------------------------------------------------------


def test_thresholds_keep_the_rate_they_are_for() -> None:
    rng = np.random.default_rng(0)
    found = thresholds_for(["0.002", "0.01", "0.05"], 1 / (1 + np.exp(-rng.logistic(-3, 1, 3000))))
    fresh = 1 / (1 + np.exp(-rng.logistic(-3, 1, 200_000)))
    for rate, threshold in found.items():
        assert np.mean(fresh >= threshold.score) == pytest.approx(float(rate), rel=0.35)
        assert threshold.low < threshold.score < threshold.high
        assert np.mean(fresh >= threshold.high) < float(rate) < np.mean(fresh >= threshold.low)
    scores = [t.score for t in found.values()]
    assert scores == sorted(scores, reverse=True)


def test_the_correction_brings_a_scanner_to_the_common_one() -> None:
    common = common_machine(HARD)
    correction = fit_correction(HARD, common)
    goods = [Reading(m, a, (0, 0), (0, 0)) for m in ("water", "aluminium", "steel", "lead") for a in (5, 20, 50)]
    own, wanted = predict(HARD, goods), predict(common, goods)
    rows = np.repeat(own[:, :, None], 8, axis=2).repeat(8, axis=1).astype(np.float32)  # one 8 x 8 block for each
    corrected = correction.onto(Scan(rows)).transmission[:, 4::8, 4]
    before, after = (np.abs(np.log(t / wanted)) for t in (own, corrected))
    assert before.mean() > 0.05
    assert after.mean() < 0.2 * before.mean()
    air = Scan(np.ones((2, 64, 64), np.float32))
    assert correction.onto(replace(air, scanner=HARD.scanner())).scanner.high == common.labels[0]
    assert correction.onto(air).transmission == pytest.approx(air.transmission, abs=1e-6)
    assert Correction.from_dict(json.loads(json.dumps(correction.as_dict()))) == correction
    same = fit_correction(common, common).onto(Scan(rows)).transmission
    assert same == pytest.approx(rows, rel=1e-3)


def test_the_shift_tells_training_scanners_from_others() -> None:
    far = shift_of(HARD)
    assert far.nearer == 1.0 and far.distance > 2 * far.ordinary
    assert far.properties["steel_mm"]["where"] == "above" and far.properties["quanta"]["where"] == "below"
    assert far.properties["high"]["where"] == "between"
    assert shift_of(HARD, {"steel_mm": 30.0}).properties["steel_mm"]["where"] == "not determined"
    drawn = shift_of(Machine.draw("container", np.random.default_rng(1), "train"))
    assert {p["where"] for p in drawn.properties.values()} == {"inside"}
    assert shift_of(usual_machine("container")).distance < far.ordinary


def test_a_scene_on_another_grid_keeps_its_mass() -> None:
    from leadline.datasets.simulator.simulate import build_scene

    scene = next(s for s in (build_scene("parcel", 3, i) for i in range(9)) if s.has_threat)
    for pixel in (0.7 * scene.pixel_mm, 1.6 * scene.pixel_mm):
        other = at_pixel(scene, pixel)
        for before, after in ((scene.areal, other.areal), (scene.with_threat(), other.with_threat())):
            mass = before.sum() * scene.pixel_mm**2
            assert after.sum() * pixel**2 == pytest.approx(mass, rel=0.02)
    assert at_pixel(scene, scene.pixel_mm) is scene


# --- profiles ------------------------------------------------------------------------------------------------------


def profile_for(path: Path, kind: Kind = "parcel", **changes: Any) -> Profile:
    told = contract.read(path)
    base = Profile(
        "gate 4", kind, 1.5, {"name": told.name, "version": told.version, "sha256": contract.sha256(path)},
        {"0.002": 0.99, "0.01": 0.97, "0.05": 0.6},
    )  # fmt: skip
    return replace(base, **changes)


def test_a_profile_survives_its_file(tmp_path: Path, models: dict[Kind, Path]) -> None:
    correction = fit_correction(HARD, common_machine(HARD))
    told = profile_for(models["container"], "container", correction=correction, details={"machine": {}})
    written = write_profile(tmp_path / "gate4.json", told)
    assert read_profile(tmp_path / "gate4.json") == written
    assert replace(written, path="", sha256="") == told
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("leadline", "verdict", "not a scanner profile"),
        ("format", 99, "form 99"),
        ("scanner", "ship", "scanner 'ship' is none of"),
        ("pixel_mm", -2, "pixel_mm -2 is not a size"),
        ("model", {"name": "x", "version": "1"}, "sha256 is missing"),
        ("model", {"name": "x", "version": "1", "sha256": "abc"}, "sha256 is not one"),
        ("thresholds", {}, "hold no false-alarm rate"),
        ("thresholds", {"0.01": 1.5}, "does not lie in 0..1"),
        ("thresholds", {"often": 0.5}, "could not convert"),
        ("thresholds", {"0.01": 0.5, "0.05": 0.7}, "rarer false alarm has the lower threshold"),
        ("default_rate", "0.3", "no threshold for the default rate"),
        ("correction", {"coefficients": [[1.0], [2.0]], "contrast": [0, 1], "residual": 0}, "not one of this version"),
        ("details", None, "details are not an object"),
    ],
)
def test_a_spoiled_profile_is_refused(
    tmp_path: Path, models: dict[Kind, Path], key: str, value: Any, message: str
) -> None:
    path = tmp_path / "gate4.json"
    write_profile(path, profile_for(models["parcel"]))
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {key: value}))
    with pytest.raises(LeadlineError, match=message):
        read_profile(path)
    del raw[key]
    path.write_text(json.dumps(raw))
    with pytest.raises(LeadlineError, match="missing|not a scanner profile|form None"):
        read_profile(path)


def test_what_is_no_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="give the path of a scanner profile"):
        read_profile(tmp_path / "nowhere.json")
    (tmp_path / "half.json").write_text('{"leadline": "scanner pro')
    with pytest.raises(LeadlineError, match="not JSON"):
        read_profile(tmp_path / "half.json")


def screened(*arguments: object) -> list[dict[str, Any]]:
    done = run("screen", *arguments, "--json", "--quiet")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_profile_sets_threshold_kind_and_pixel_size(tmp_path: Path, models: dict[Kind, Path], picture: Any) -> None:
    scan = picture("parcel", boxes=((30, 20, 90, 60, 4.0),))
    write_scan(replace(scan, scanner=Scanner(None, "160 kV", "80 kV", None)), tmp_path / "scan.tif")
    write_profile(tmp_path / "gate4.json", profile_for(models["parcel"]))
    use = [tmp_path / "scan.tif", "--model", models["parcel"], "--profile", tmp_path / "gate4.json"]
    (line,) = screened(*use)
    assert line["threshold"] == 0.97
    assert line["regions"][0]["mass_kg"] is not None  # the pixel size is the profile's
    assert screened(*use, "--false-alarm-rate", "0.05")[0]["threshold"] == 0.6
    assert screened(*use, "--threshold", "0.3")[0]["threshold"] == 0.3
    (without,) = screened(tmp_path / "scan.tif", "--model", models["parcel"])
    assert without["threshold"] == 0.7 and without["regions"][0]["mass_kg"] is None


def test_a_profile_of_another_model_or_scanner_is_refused(
    tmp_path: Path, models: dict[Kind, Path], picture: Any
) -> None:
    write_scan(picture("parcel"), tmp_path / "scan.tif")
    other = {"name": "other", "version": "9", "sha256": "0" * 64}
    write_profile(tmp_path / "other.json", profile_for(models["parcel"], model=other))
    done = run("screen", tmp_path / "scan.tif", "--model", models["parcel"], "--profile", tmp_path / "other.json")
    assert done.exit_code == 2 and "made for the model other 9" in done.stderr and "calibrate anew" in done.stderr
    write_profile(tmp_path / "ship.json", profile_for(models["container"], "container"))
    done = run("screen", tmp_path / "scan.tif", "--profile", tmp_path / "ship.json", "--model", models["container"])
    assert done.exit_code == 1 and "is the profile of a container scanner" in done.output
    write_profile(tmp_path / "gate4.json", profile_for(models["parcel"]))
    use = ["--model", models["parcel"], "--profile", tmp_path / "gate4.json", "--false-alarm-rate", "0.3"]
    done = run("screen", tmp_path / "scan.tif", *use)
    assert done.exit_code == 2 and "choose one of 0.002, 0.01, 0.05" in done.stderr


def test_only_the_model_sees_a_corrected_scan(tmp_path: Path, models: dict[Kind, Path]) -> None:
    correction = fit_correction(HARD, common_machine(HARD))
    profile = profile_for(models["container"], "container", correction=correction)
    settings = Settings(profile=profile)
    scan = Scan(np.full((2, 64, 64), 0.2, np.float32), Scanner("container"))
    assert np.array_equal(settings.known(scan).transmission, scan.transmission)
    assert settings.known(scan).scanner.pixel_mm == 1.5
    assert not np.allclose(settings.for_model(scan).transmission, scan.transmission, rtol=0.01)
    guess = replace(scan, fidelity="pseudocolour")
    assert settings.for_model(guess) is guess


def test_the_ledgers_key_changes_with_the_profile_alone(tmp_path: Path, models: dict[Kind, Path]) -> None:
    plain = {"scanner": None, "pseudocolour": False, "threshold": None, "false_alarm_rate": None}
    assert profile_of(Settings()) == plain
    profile = write_profile(tmp_path / "gate4.json", profile_for(models["parcel"]))
    assert profile_of(Settings(profile=profile)) == plain | {"calibration": profile.sha256}


# --- the command ---------------------------------------------------------------------------------------------------


def test_calibrate_writes_a_profile_that_screen_takes(tmp_path: Path, models: dict[Kind, Path], picture: Any) -> None:
    machine = usual_machine("parcel", ("160 kV", "160 kV"))
    rng, parts = np.random.default_rng(0), []
    for material, thickness in USUAL["parcel"].items():
        shown = wedge_scan(machine, material, thickness, rng)
        write_scan(replace(shown.scan, scanner=Scanner("parcel", "160 kV", "160 kV")), tmp_path / f"{material}.tif")
        parts.append(
            f'[[wedge]]\nscan = "{material}.tif"\nmaterial = "{material}"\nbox = {list(shown.box)}\n'
            f"thickness_mm = {list(thickness)}\nstep_mm = {shown.step_mm}\n"
        )
    (tmp_path / "wedges.toml").write_text("".join(parts))
    benign = tmp_path / "benign"
    benign.mkdir()
    for k in range(3):
        write_scan(picture("parcel", boxes=((30, 20, 90, 60, 1.0),), seed=k), benign / f"{k}.tif")
    out = tmp_path / "gate4.json"
    use = ["--model", models["parcel"], "--scenes", 60, "--false-alarm-rate", "0.02", "--out", out]
    done = run("calibrate", tmp_path / "wedges.toml", "--benign", benign, *use)
    assert done.exit_code == 0, done.output
    assert "gate4: parcel scanner, dual layer detector" in done.output and "(default)" in done.output
    profile = read_profile(out)
    assert profile.default_rate == "0.02" and set(profile.thresholds) == {"0.002", "0.004", "0.01", "0.02", "0.05"}
    assert profile.pixel_mm == pytest.approx(machine.pixel_mm, rel=0.005)
    assert profile.details["benign"]["scans"] == 3
    assert profile.details["thresholds_from"] | {"intervals": None} == {
        "used": "simulated", "scans": profile.details["thresholds_from"]["scans"], "intervals": None,
    }  # fmt: skip
    (line,) = screened(benign / "0.tif", "--model", models["parcel"], "--profile", out)
    assert line["threshold"] == pytest.approx(profile.thresholds["0.02"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a table of step wedges"),
        (["nowhere.toml"], "give the path of a wedge table"),
        (["nowhere.toml", "--manifest", "goods.csv"], "--manifest: declares the goods of --benign scans"),
        (["--benign", "."], "no scans in there"),
    ],
)
def test_calibrate_refuses_wrong_use(
    tmp_path: Path, models: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("calibrate", *arguments, "--out", "gate4.json", "--model", models["parcel"])
    assert done.exit_code == 2 and message in done.output
    assert not list(tmp_path.iterdir())


def test_calibrate_checks_its_folder_first(tmp_path: Path, models: dict[Kind, Path]) -> None:
    done = run("calibrate", "wedges.toml", "--out", tmp_path / "none" / "gate4.json")
    assert done.exit_code == 2 and "its folder does not exist" in done.output
