import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from leadline.datasets.formats import write_scan
from leadline.datasets.scan import FileError, LeadlineError, Scan, Scanner
from leadline.inference.cli import main
from leadline.models import contract as contracts
from leadline.models.config import NetworkConfig
from leadline.models.export import draft_contract
from leadline.training.baselines import DEPTHS, RATIOS, Clues
from leadline.training.breakdown import HONEST_TOO, TITLES, details
from leadline.training.compare import compare, pair
from leadline.training.compare_report import Side, page
from leadline.training.evaluate import Evaluation, Wanted
from leadline.training.labelled import read_labels
from leadline.training.measure import Row, Task
from leadline.training.page import evaluation_page
from leadline.training.pictures import WIDTH, Looker, views
from leadline.training.places import Place
from leadline.training.record import load, measured
from leadline.training.rows import as_record, from_record

MODEL = contracts.released("parcel")


def row(index: int, threat: bool, logit: float, **changes: object) -> Row:
    plain = {
        "index": index, "scenario": "reo", "threat": threat, "undeclared": threat, "d_known": 9.0 if threat else None,
        "d_material": 9.0 if threat else None, "mass_kg": 2.0 * threat,
        "clues": Clues(0.5, np.eye(len(DEPTHS) - 1, len(RATIOS["parcel"]) - 1, dtype=np.int64)),
        "declared": np.zeros(11, np.float32), "logit": logit, "score": float(1 / (1 + np.exp(-logit))),
        "place": Place((8.0, 4.0), 1, 0.9, 1.0 + index % 3) if threat else None,
        "place_right": threat, "family_right": threat, "family": "antimony" if threat else "",
        "shield_mm": float(index % 4) if threat else None,
        "cover": 5.0 if threat else None, "goods": "lead" if index % 2 else "art", "scanner": "160 kV dual-layer",
    }  # fmt: skip
    return Row(**(plain | changes))  # type: ignore[arg-type]


def rows(shift: float, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    return [row(k, threat, rng.normal(shift * threat, 1)) for k in range(80) for threat in (True, False)]


def leadline(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_rows_survive_json() -> None:
    for given in (row(3, True, 1.5), row(3, False, -1.0, place=None)):
        back = from_record(json.loads(json.dumps(as_record(given))))
        assert isinstance(back, Row) and as_record(back) == as_record(given)
        assert (back.clues.pixels == given.clues.pixels).all() and back.place == given.place


def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    task, path, about = Task(None, "parcel", "train", 5), tmp_path / "rows.jsonl", {"seed": 5}
    whole = measured(task, range(4), path, about)
    text = path.read_text()
    path.write_text(text[: text.rindex("\n", 0, -1) + 30])  # killed while the last line was written
    told: list[int] = []
    again = measured(task, range(5), path, about, told=lambda done, total: told.append(done))
    assert [as_record(r) for r in again[: len(whole)]] == [as_record(r) for r in whole]
    assert told[0] == 3 and told[-1] == 5  # three whole scenes were kept
    assert len(load(path)[1]) == len(again)
    with pytest.raises(FileError, match="holds another evaluation"):
        measured(task, range(4), path, {"seed": 6})


def test_groups_masses_and_worst_by_hand(tiny: NetworkConfig) -> None:
    given = [row(k, True, 4.0 - k, mass_kg=0.05 if k < 2 else 5.0) for k in range(4)]
    given += [row(k, False, k / 100 - 3) for k in range(4, 104)]
    found = details(given, draft_contract(tiny, thresholds={"0.01": 0.8}))
    masses = {g["name"]: g for g in found["groups"]["mass_kg"]}
    assert list(masses) == ["below 0.1 kg", "3 to 10 kg"]
    assert masses["below 0.1 kg"]["threats"] == 2 and masses["below 0.1 kg"]["found"]["0.01"][0] == 1
    assert [g["name"] for g in found["groups"]["shield_mm"]] == ["none", "1 to 2 mm", "2 to 4 mm"]
    goods = {g["name"]: g for g in found["groups"]["goods"]}
    assert goods["art"]["honest"] == 50 and goods["art"]["threats"] == 2
    assert found["curves"]["all"]["auc"][0] == 1
    assert found["mass"]["threats"] == 4 and found["places"]["threats"][0] == 1
    assert [w["index"] for w in found["worst"]["misses"]] == [3]  # a score of 0.73
    assert found["worst"]["false_alarms"][0]["index"] == 103


def test_the_better_of_two_models(tiny: NetworkConfig) -> None:
    contract = draft_contract(tiny, thresholds={"0.01": 0.8})
    weak, strong = rows(0.5, 1), rows(3.0, 2)
    found = compare(pair(weak, strong), (contract, contract))
    area = found["areas"]["all"]
    assert area["difference"] > 0.2 and area["p"] < 0.001 and area["bootstrap"][0] > 0
    at = found["found"]["all"]["0.05"]
    assert at["only_second"] > at["only_first"] and at["p"] < 0.01
    assert found["changed"]["gained"] and found["scans"] == {"both": 160, "honest": 80, "threats": 80}
    other = compare(pair(strong, weak), (contract, contract))
    assert other["areas"]["all"]["difference"] == pytest.approx(-area["difference"])
    with pytest.raises(LeadlineError, match="measure both on the same scans"):
        pair(weak, [row(k + 1000, True, 0.0) for k in range(5)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled scans: a dark block is a threat. One of them is cut."""
    made = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    lines = ["path,label,family,hs_code,description,mass_kg,boxes"]
    for k in range(6):
        t = np.full((2, 120, 160), 0.9, np.float32)
        t += rng.normal(0, 0.004, t.shape).astype(np.float32)
        if k % 2:
            t[0, 40:80, 50:90], t[1, 40:80, 50:90] = 0.2, 0.06
        write_scan(Scan(np.clip(t, 0, 1), Scanner("parcel", "160 kV", "160 kV", 1.2)), made / f"{k}.tif")
        facts = ("antimony", "2", "50 40 90 80") if k % 2 else ("", "", "")
        lines.append(f"{k}.tif,{k % 2},{facts[0]},690721,tiles,{facts[1]},{facts[2]}")
    (made / "4.tif").write_bytes((made / "4.tif").read_bytes()[:400])
    (made / "labels.csv").write_text("\n".join(lines) + "\n")
    return made


def test_evaluating_a_labelled_folder_and_comparing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "first"
    done = leadline("evaluate", MODEL, folder, "--out", out, "--processes", 1)
    assert done.exit_code == 0, done.output
    assert "this model" in done.stdout and "4.tif" in done.stderr
    assert "/4.tif" in (out / "report.html").read_text()
    figures = json.loads((out / "figures.json").read_text())
    assert figures["scans"] == {"honest": 2, "threats": 3, "threats_allowed_by_physics": 0}
    page = (out / "report.html").read_text()
    # nothing is loaded from anywhere: no address but the names of XML forms, no file, no script
    addresses = {a for a in re.findall(r"[a-z]+://[^\s\"'<>]+", page) if not a.startswith("http://www.w3.org/")}
    assert not addresses and "<script" not in page
    assert all(source.startswith("data:") for source in re.findall(r"(?:src|href)=\"([^#\"][^\"]*)", page))
    assert page.count("<svg") >= 3 and page.count("data:image/jpeg") >= 2

    lines = (out / "rows.jsonl").read_text()
    assert leadline("evaluate", MODEL, folder, "--out", out, "--processes", 1).exit_code == 0
    assert (out / "rows.jsonl").read_text() == lines

    done = leadline("compare", out, out, "--out", tmp_path / "changed")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "changed" / "comparison.json").read_text())
    assert found["areas"]["all"]["difference"] == 0 and found["stored"]["threats"]["p"] == 1
    assert "<svg" in (tmp_path / "changed" / "comparison.html").read_text()


def test_the_report_of_simulated_scans(tmp_path: Path) -> None:
    """Everything that is known of simulated scans alone is on the page, each figure beside its rate."""
    given = [
        row(k, threat, 4.0 * threat + k / 40 - 2, scenario="reo_as_cosmetics", family="antimony" if threat else "",
            areal_error=0.1 + k / 1000, cargo_mass=1.2)
        for k in range(80) for threat in (True, False)
    ]  # fmt: skip
    found = Evaluation(MODEL, "ab" * 32, contracts.read(MODEL), Wanted(80, 7, "validation"), given, [], None, 0)
    more = details(given, found.contract)
    more["worst"] = {kind: scans[:1] for kind, scans in more["worst"].items()}  # each is simulated for its picture
    made = evaluation_page(found, found.figures(), more, "leadline evaluate")
    assert "80 simulated scenes, seed 7" in made and "DET curve" in made and "Calibration curve" in made
    titles = re.findall(r"<h2>(.*?)</h2>", made)
    assert titles[titles.index("By scenario") :][:8] == list(TITLES.values())
    found_at, alarming_at = (
        "".join(f'<th class="n">{words if rate == "0.2" else ""}at {rate} %' for rate in ("0.2", "0.4", "1", "5"))
        for words in ("found ", "alarming ")
    )
    tables = dict(zip(titles, made.split("<h2>")[1:], strict=True))
    for name, title in TITLES.items():
        head, *lines = re.findall(r"<tr>.*?</tr>", tables[title], re.DOTALL)
        honest_too = name in HONEST_TOO
        assert head.count(found_at) == (1 if honest_too else 2) and head.count(alarming_at) == honest_too, title
        assert all(line.count('class="n"') == head.count('class="n"') for line in lines) and lines
    (antimony,) = re.findall(r"<tr><td>antimony.*?</tr>", tables["By family"], re.DOTALL)
    at = more["groups"]["family"][0]["found"]
    shown = [f"{100 * at[rate][0]:.1f} %" for rate in ("0.002", "0.004", "0.01", "0.05")]
    assert re.findall(r'<td class="n">([\d.]+ %)', antimony) == 2 * shown  # all of them, and all that physics allows
    assert [g["name"] for g in more["groups"]["cover"]] == ["3 to 10 g/cm²"] and "160 kV dual-layer" in made
    error = more["errors"]["areal_density"]
    assert error[1] < error[0] < error[2] and error[0] == pytest.approx(0.1395)
    assert f'median error of areal density<td class="n">14.0 % <small>{100 * error[1]:.1f}–' in made
    assert more["mass"]["median_error"][0] == pytest.approx(0.5, abs=0.5) and made.count("data:image/jpeg") >= 2


def test_views_of_a_scan(folder: Path) -> None:
    wanted = Wanted(specimens=tuple(read_labels(folder)), data="scans")
    everywhere = Looker("looks", lambda shown: np.full((30, 40), 0.9, np.float32), 0.5)
    nowhere = Looker("does not", lambda shown: np.zeros((30, 40), np.float32), 0.5)
    found = views({"index": 1, "threat": True}, wanted, "parcel", [everywhere, nowhere], [(20.0, 20.0), None])
    assert [v.words for v in found] == ["green: as it lies", "looks", "does not"] and not found[0].wide
    scan, hot, cold = (
        np.array(
            cv2.imdecode(np.frombuffer(base64.b64decode(v.url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR), int
        )
        for v in found
    )
    scale = WIDTH / 160
    assert scan.shape == (round(120 * scale), WIDTH, 3)
    side = scan[round(60 * scale), round(50 * scale)]  # on the true box: green
    assert side[1] > side[0] + 30 and side[1] > side[2] + 30
    cross = scan[round(20 * scale), round(20 * scale)]  # the first model's place: blue
    assert cross[0] > cross[2] + 60
    assert (hot[..., 2] - hot[..., 0]).mean() > 60 and abs(cold[..., 2] - cold[..., 0]).mean() < 3
    assert views({"index": 4, "threat": False}, wanted, "parcel", [everywhere]) == []  # the file is cut


def test_a_comparison_shows_what_flips(folder: Path, tiny: NetworkConfig) -> None:
    contract = draft_contract(tiny, thresholds={"0.01": 0.8})
    wanted = Wanted(specimens=tuple(read_labels(folder)), data=str(folder))
    first = [row(k, bool(k % 2), 2.0 if k % 2 else -3.0 + k / 2, name=f"{k}.tif") for k in range(6)]
    second = [replace(r, logit=-4.0, score=0.02) if r.index == 1 else r for r in first]
    sides = [
        Side("m 1", letter * 64, contract, rows, wanted.about(), wanted.about() | {"scenes": 6}, wanted)
        for letter, rows in (("a", first), ("b", second))
    ]
    found = compare(pair(first, second), (contract, contract))
    assert [s["index"] for s in found["changed"]["lost"]] == [1] and not found["changed"]["gained"]
    made = page((sides[0], sides[1]), found)
    assert made.count("data:image/jpeg") == 1 and "1. score 0.881 by A, 0.020 by B" in made
    assert "A: m 1 (aaaaaa)" in made and "only B alarms" in made  # two models of one name are told apart


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("5.tif", "7.tif"), "wrong.csv line 7: names 7.tif, which is not in the folder"),
        (lambda t: t.replace("label", "what"), "has no column label"),
        (lambda t: t.replace("1.tif,1", "1.tif,perhaps"), "no families of the watch list: perhaps (1)"),
        (lambda t: t.replace("antimony", "antinomy"), "no families of the watch list: antinomy (3)"),
        (lambda t: re.sub(r"tif,1,.*", "tif,0,,,,,", t), "has no sample of a scan with undeclared watch-list material"),
        (lambda t: re.sub(r"tif,0", "tif,1", t), "has no sample of an honest scan"),
        (lambda t: t.replace("4.tif", "2.tif"), "labels 2.tif again"),
        (lambda t: t.splitlines()[0], "wrong.csv: holds no scans of the set csv"),
        (lambda t: t.replace("50 40 90 80", "50 40"), "line 3: has a box whose edges are no numbers"),
    ],
)
def test_wrong_labels(folder: Path, change: Callable[[str], str], words: str) -> None:
    table = folder / "wrong.csv"
    table.write_text(change((folder / "labels.csv").read_text()))
    with pytest.raises(LeadlineError) as caught:
        read_labels(table)
    assert words in str(caught.value)


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"holds no labels\.csv"):
        read_labels(tmp_path)
    done = leadline("evaluate", MODEL, tmp_path / "nowhere", "--out", tmp_path / "out")
    assert done.exit_code == 2 and "does not exist" in done.stderr
