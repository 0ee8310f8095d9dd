import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.formats.write import write_scan
from leadline.datasets.scan import Declaration, LeadlineError, Scan, Scanner
from leadline.models.config import NetworkConfig
from leadline.training.labelled import Specimen, read_labels
from leadline.training.own import Own, check, counted, part, targets

Make = Callable[[str, int], Path]


def scan(seed: int) -> Scan:
    t = np.random.default_rng(seed).uniform(0.2, 0.9, (2, 40, 60)).astype(np.float32)
    return Scan(t, Scanner("parcel", "160 kV", "80 kV", 1.5))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(name: str, seed: int) -> Path:
        write_scan(scan(seed), tmp_path / name)
        return tmp_path / name

    return made


def specimens(make: Make, threats: int, honest: int) -> list[Specimen]:
    return [Specimen(make(f"{k}.tif", k), k < threats) for k in range(threats + honest)]


def test_parting_follows_the_content(make: Make) -> None:
    chosen = check(specimens(make, 4, 8), "parcel")
    fitted, held = part(chosen, 0.25)
    assert counted(held) == "1 with undeclared watch-list material, 2 honest" and len(fitted) == 9
    again, back = part(chosen[::-1], 0.25)
    assert {s.sha256 for s in back} == {s.sha256 for s in held} and len(again) == 9


def test_copies_stay_on_one_side(make: Make, tmp_path: Path) -> None:
    given = specimens(make, 3, 3)
    copies = [Specimen(make(f"copy{k}.tif", k), k < 3) for k in range(6)]
    fitted, held = part(check(given + copies, "parcel"), 0.3)
    assert not {s.sha256 for s in fitted} & {s.sha256 for s in held} and len(fitted) + len(held) == 12


def test_a_class_with_one_scan_is_too_few(make: Make) -> None:
    with pytest.raises(LeadlineError, match="1 scan with undeclared watch-list material; one to fit on and"):
        part(check(specimens(make, 1, 4), "parcel"), 0.25)


def test_a_copy_with_the_other_label_is_told(make: Make) -> None:
    given = [*specimens(make, 2, 2), Specimen(make("copy.tif", 0), False)]
    with pytest.raises(LeadlineError, match=r"copy.tif: is a copy of .*0.tif with the other label"):
        check(given, "parcel")


def test_mixed_depths_are_told(make: Make, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), (scan(9).transmission[0] * 255).astype(np.uint8))
    given = [*specimens(make, 2, 2), Specimen(tmp_path / "grey.png", False)]
    with pytest.raises(LeadlineError, match=r"mixes scans of different depth: 4 of two energies .*, 1 of 8-bit"):
        check(given, "parcel")


def test_damaged_and_foreign_scans_are_told(make: Make, tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes((make("whole.tif", 1)).read_bytes()[:200])
    with pytest.raises(LeadlineError, match="cut.tif: is (cut|damaged)"):
        check([*specimens(make, 1, 1), Specimen(tmp_path / "cut.tif", True)], "parcel")
    with pytest.raises(LeadlineError, match=r"0\.tif: says that a parcel scanner took it \(160 kV\), not a container"):
        check(specimens(make, 1, 1), "container")


def test_what_a_label_tells(tiny: NetworkConfig) -> None:
    watched = [tiny.families.index(f) for f in tiny.watched]
    lead = Declaration("780110", "lead ingots")
    said, present = targets(Specimen(Path("x"), False, declaration=lead), tiny)
    assert (
        said[len(tiny.families)] == 1
        and all(present[k] == 0 for k in watched)
        and np.isnan(present).sum() == len(present) - 3
    )
    _, present = targets(Specimen(Path("x"), True, "antimony", lead), tiny)
    assert present[tiny.families.index("antimony")] == 1 and np.isnan(present).sum() == len(present) - 1
    _, present = targets(Specimen(Path("x"), False, declaration=Declaration("811010")), tiny)
    assert np.isnan(present[tiny.families.index("antimony")])  # declared: it may be there


def test_batches_are_half_of_each_class(make: Make, tiny: NetworkConfig) -> None:
    stream = Own(check(specimens(make, 2, 6), "parcel"), tiny, (32, 40), 4, seed=3)
    batches = [batch for _, batch in zip(range(3), stream, strict=False)]
    for batch in batches:
        assert batch["transmission"].shape == (4, 2, 32, 40) and batch["undeclared"].sum() == 2
        assert batch["said"].shape == (4, len(tiny.families) + 1 + APPEARANCE)
    again = next(iter(stream))
    assert np.array_equal(again["transmission"], batches[0]["transmission"])


def test_the_stations_labels_are_read(tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "sha256", "hs_code", "description", "label", "family"])
        for k, label in enumerate(("found", "not_found")):
            folder = tmp_path / "scans" / f"a{k}" / f"a{k}f"
            folder.mkdir(parents=True)
            write_scan(scan(k), folder / "scan.tif")
            (folder / "maps.bin").write_bytes(b"x")
            writer.writerow(
                [f"scans/a{k}/a{k}f", "0" * 64, "780110", "lead", label, "antimony" if label == "found" else ""]
            )
    found, nothing = read_labels(tmp_path)
    assert found.positive and found.path.name == "scan.tif" and found.family == "antimony" and not nothing.positive
    assert len(check([found, nothing], "parcel")) == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds no scans of the set csv"),
        (["nowhere.tif,1", "0.tif,0"], "labels.csv line 2: names nowhere.tif, which is not in the folder"),
        (["0.tif,0", "1.tif,0"], "has no sample of a scan with undeclared watch-list material"),
        (["0.tif,maybe", "1.tif,0"], r"no families of the watch list: maybe \(1\); say what each is with --class"),
    ],
)
def test_label_files_that_cannot_be_used(make: Make, tmp_path: Path, rows: list[str], told: str) -> None:
    for k in range(2):
        make(f"{k}.tif", k)
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    with pytest.raises(LeadlineError, match=told):
        read_labels(tmp_path)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="holds no labels.csv"):
        read_labels(tmp_path)
