"""The machine of a scanner profile, out of files as they are written and as they must not be."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadline.datasets.fitted import fitted_scanner, machine_from
from leadline.datasets.scan import FileError
from leadline.datasets.simulator.scanner import Machine
from leadline.inference.calibration.profile import Profile, write_profile


def profile(path: Path, machine: Machine, **details: Any) -> Path:
    """A profile as `leadline calibrate` writes it, of this machine."""
    model = {"name": "m", "version": "1", "sha256": "ab" * 32}
    found = {"machine": asdict(machine), "pixel_known": True} | details
    write_profile(path, Profile("gate 4", machine.kind, machine.pixel_mm, model, {"0.01": 0.9}, details=found))
    return path


@pytest.mark.parametrize("kind", ["parcel", "container"])
def test_a_profile_gives_back_its_machine(tmp_path: Path, kind: Any) -> None:
    for seed in range(4):
        machine = Machine.draw(kind, np.random.default_rng(seed))
        found = fitted_scanner(profile(tmp_path / "p.json", machine))
        assert found.machine == machine and found.name == "gate 4" and found.pixel_known
    assert not fitted_scanner(profile(tmp_path / "p.json", machine, pixel_known=False)).pixel_known


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"machine": {}}, "filters is missing"),
        ({"machine": None}, "holds no scanner that can be simulated"),
        ({"quanta": [0, 100]}, "quanta"),
        ({"level": [1, float("nan")]}, "level"),
        ({"shift_px": [0, "left"]}, "left"),
        ({"filters": 3}, "holds no scanner that can be simulated"),
        ({"kind": "ship"}, "ship scanner"),
        ({"pixel_mm": 0}, "pixel_mm 0"),
        ({"energies": [6.0]}, "energies"),
        ({"scintillators": ["CdWO4", "butter"]}, "butter"),
    ],
)
def test_profiles_without_a_usable_machine(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    parcel = Machine.draw("parcel", np.random.default_rng(0))
    path = profile(tmp_path / "p.json", replace(parcel, detector="dual_layer"))
    raw = json.loads(path.read_text())
    details = raw["details"]
    if "machine" in change:
        details |= change
    else:
        details["machine"] |= change
    path.write_text(json.dumps(raw))
    with pytest.raises(FileError) as caught:
        fitted_scanner(path)
    assert words in str(caught.value) and "leadline calibrate" in str(caught.value)


def test_files_that_are_no_profiles(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        fitted_scanner(tmp_path / "nowhere.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(FileError, match="not JSON"):
        fitted_scanner(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(FileError, match="not a scanner profile"):
        fitted_scanner(tmp_path / "b.json")


def test_a_machine_survives_json() -> None:
    for kind in ("parcel", "container"):
        machine = Machine.draw(kind, np.random.default_rng(7), "heldout")
        assert machine_from(json.loads(json.dumps(asdict(machine)))) == machine
