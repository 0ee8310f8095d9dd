import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from leadline.datasets.scan import LeadlineError
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.truth import detectability
from leadline.inference.calibration.profile import Profile, write_profile
from leadline.inference.cli import main
from leadline.models import contract
from leadline.training.efficiency import levels, observed, scene
from leadline.training.ideal import Threat, detectabilities, least_mass, nominal, required, seen_pixels
from leadline.training.likeness import likeness
from leadline.training.limits import Question, limits


def profile(path: Path, machine: Machine, *, pixel_known: bool = True) -> Path:
    """A profile as `leadline calibrate` writes it, of this machine."""
    model = {"name": "m", "version": "1", "sha256": "ab" * 32}
    details = {"machine": asdict(machine), "pixel_known": pixel_known}
    write_profile(path, Profile("gate 4", machine.kind, machine.pixel_mm, model, {"0.01": 0.9}, details=details))
    return path


def test_antimony_and_lead_are_the_same_near_two_at_6_4_mv() -> None:
    found = limits(Question("antimony", "lead", "6/4 MV", thickness_mm=(0, 10, 30, 60)))
    like = found.pairs["6/4 MV"]
    assert like.crossings == [pytest.approx(2.0, abs=0.3)]
    assert any(low <= 2 <= high for low, high in like.alike)
    assert "lead" in [other.second for other in found.alike]
    # the parcel scanner's low energies part them everywhere
    assert not limits(Question("antimony", "lead", "160 kV", thickness_mm=(0,))).pairs["160 kV"].alike
    # behind 60 mm of lead no mass is told by its material, though it is plain to one who knows the goods
    assert found.steps[-1].least_material is None
    assert found.steps[-1].least_known is not None and found.steps[-1].least_known < 0.1
    assert [s.least_known for s in found.steps] == sorted(s.least_known or 0 for s in found.steps)


def test_unlike_materials_are_told_apart() -> None:
    _, machine = nominal("6/4 MV")
    # thin oxide and plastic have the same ratio once, near nothing; from then on they are easy
    assert max(high for _, high in likeness("neodymium_oxide", "polyethylene", machine, 100, 3.6).alike) < 0.6
    assert likeness("steel", "iron_scrap", machine, 100, 3.6).share == 1  # both are iron


def test_blocks_agree_with_the_simulator_s_truth() -> None:
    _, machine = nominal("6/4 MV")
    machine = replace(machine, blur_px=(0.0, 0.0))
    n = 20
    side = n * machine.pixel_mm / 10
    threat = Threat("neodymium_oxide", 2.0)
    mass = threat.density * side**3 / 1000
    areal = np.zeros((2, n, n), np.float32)
    areal[0] = 40.0
    change = np.zeros_like(areal)
    change[1] = threat.density * side
    names = ("tile_adhesive", "neodymium_oxide")
    expected = detectability(areal, (0, n, 0, n), change, names, machine)
    found = detectabilities(threat, np.array([mass]), "tile_adhesive", np.array([40.0]), machine)
    # the aperture blurs the block's edge: less by a third of a pixel of 20 at both, in each direction
    assert found[:, 0, 0] == pytest.approx(expected, rel=0.04)


def test_pixels_that_a_block_covers() -> None:
    sharp = np.sqrt(1 / 12)
    assert seen_pixels(np.array([50.0]), 0.0)[0] == pytest.approx(50 - 2 * sharp / np.sqrt(np.pi), rel=1e-6)
    assert seen_pixels(np.array([0.01]), 0.0)[0] == pytest.approx(0.01**2, rel=0.03)  # a share of one pixel
    assert seen_pixels(np.array([3.0]), 1.0)[0] < seen_pixels(np.array([3.0]), 0.2)[0]


def test_a_fitted_scanner_in_place_of_a_nominal_one(tmp_path: Path) -> None:
    _, machine = nominal("6/4 MV")
    options = {"thickness_mm": (0.0, 20.0)}
    plain = limits(Question("antimony", "steel", **options))  # type: ignore[arg-type]
    same = limits(Question("antimony", "steel", str(profile(tmp_path / "p.json", machine)), **options))  # type: ignore[arg-type]
    assert same.name == "gate 4 (fitted: 6/4 MV)" and same.steps == plain.steps
    assert same.pairs[same.name].crossings == plain.pairs["6/4 MV"].crossings
    # a quarter of the quanta: twice the noise, where electronics and converter add little
    noisy = replace(machine, quanta=(1500.0, 750.0), smoothing_px=0.5)
    found = limits(Question("antimony", "steel", str(profile(tmp_path / "n.json", noisy)), **options))  # type: ignore[arg-type]
    for step, better in zip(found.steps, plain.steps, strict=True):
        assert step.d_known == pytest.approx(better.d_known / 2, rel=0.02)
        assert step.least_known is not None and better.least_known is not None
        assert step.least_known > 1.3 * better.least_known
    # a harder beam sees less
    hard = replace(machine, filters=((("Fe", 80.0), ("Pb", 20.0)),) * 2)
    response = limits(Question("antimony", "steel", str(profile(tmp_path / "h.json", hard)), **options))  # type: ignore[arg-type]
    assert response.steps[1].attenuation < plain.steps[1].attenuation
    unsized = profile(tmp_path / "u.json", machine, pixel_known=False)
    with pytest.raises(LeadlineError, match="does not know the pixel size"):
        limits(Question("antimony", "steel", str(unsized), **options))  # type: ignore[arg-type]
    assert limits(Question("antimony", "steel", str(unsized), pixel_mm=4.2, **options)).steps == plain.steps  # type: ignore[arg-type]


def test_needed_d_and_least_mass_by_hand() -> None:
    assert required(0.01, 0.9) == pytest.approx(2.3263 + 1.2816, abs=1e-3)
    assert required(0.01, 0.9, places=100) > required(0.01, 0.9)
    mass = np.array([1.0, 10.0, 100.0, 1000.0])
    assert least_mass(mass, np.array([1.0, 100.0, 1.0, 1000.0]), 10) == (pytest.approx(10**0.5), [(100.0, 100.0)])
    assert least_mass(mass, np.ones(4), 10) == (None, [])


def test_observed_d_and_scene() -> None:
    rng = np.random.default_rng(0)
    d, low, high = observed(rng.normal(3, 2, 4000), rng.normal(0, 2, 4000))
    assert d == pytest.approx(1.5, abs=0.1) and low < 1.5 < high
    areal = scene(10.0, 5.0, 7.3, (60, 80))
    assert areal[1].sum() == pytest.approx(5 * 7.3**2, rel=1e-5)
    assert areal[0, 30, 40] == 10 and areal[0, 0, 0] == 0


def test_a_model_loses_some_of_what_is_there() -> None:
    _, machine = nominal("160 kV")
    threat = Threat("neodymium_oxide", 2.0)
    model = contract.released("parcel")
    (level,) = levels(model, threat, "cardboard", 0.2, [(2.0, 0.05)], machine, scans=4)
    assert level.d_known > 10
    assert 0 <= level.efficiency[1] <= level.efficiency[0] <= level.efficiency[2]
    assert level.efficiency[0] < 1
    _, linac = nominal("6/4 MV")
    with pytest.raises(LeadlineError, match="reads parcel scans"):
        list(levels(model, threat, "cardboard", 0.2, [(2.0, 0.05)], linac))


def test_the_command(tmp_path: Path) -> None:
    options = ["--cover", "lead", "--thickness", "0,20,40", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["limits", "antimony", *options])
    assert done.exit_code == 0, done.output
    assert "| 6/4 MV | -ln T 1." in done.stdout
    record = json.loads((tmp_path / "out" / "limits.json").read_text())
    assert [s["cover_mm"] for s in record["steps"]] == pytest.approx([0, 20, 40])
    assert record["energy_pairs"]["6/4 MV"]["crossings"] == [pytest.approx(2.0, abs=0.3)]
    page = (tmp_path / "out" / "limits.html").read_text()
    assert page.count("<svg") == 2 and "not told apart" in page
    assert (tmp_path / "out" / "limits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["unobtainium", "--cover", "lead"], "unobtainium"),
        (["antimony", "--cover", "cheese"], "--cover 'cheese': is not in the catalogue"),
        (["antimony", "--cover", "lead", "--scanner", "5 GeV"], "scanner '5 GeV': is none"),
        (["antimony", "--cover", "lead", "--scanner", "4/6 MV"], "needs energies of 3 to 10 MV"),
        (
            ["antimony", "--cover", "lead", "--scanner", "gate4.json"],
            "gate4.json: No such file or directory; give the path",
        ),
        (["antimony", "--cover", "lead", "--thickness", "5,nothing"], "such as 0,5,10"),
        (["antimony", "--cover", "lead", "--mass", "nan"], "'--mass': 'nan' is no finite number"),
        (["antimony", "--cover", "lead", "--depth", "inf"], "'--depth': 'inf' is no finite number"),
        (["antimony", "--cover", "lead", "--quanta", "nan", "1"], "'--quanta': 'nan' is no finite number"),
    ],
)
def test_wrong_questions(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(main, ["limits", *arguments])
    assert done.exit_code == 2 and words in done.stderr
