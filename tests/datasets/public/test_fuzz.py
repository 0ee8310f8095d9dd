"""Labels that nobody vouches for: whatever is in them, a set is read or a `LeadlineError` says what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadline.datasets.public import SetError, open_set
from leadline.datasets.scan import LeadlineError

# Where the labels of each set are, with a picture that they may name.
LABELS = {
    "csv": ("labels.csv", "0001.png"),
    "voc": ("0001.xml", "0001.png"),
    "coco": ("labels.json", "0001.png"),
    "masks": ("masks/0001.png", "images/0001.png"),
    "sixray": ("Annotation/P00001.xml", "P00001.png"),
    "opixray": ("train_annotation/0001.txt", "train_image/0001.png"),
    "pidray": ("annotations/xray_train.json", "train/0001.png"),
    "ldxray": ("train.json", "train_A/0001.png"),
    "miro-cargo": ("MANIFEST.csv", "annotations/x_coco.json"),
    "eds": ("domain1/labels/0001.xml", "domain1/images/0001.png"),
    "pixray": ("0001.json", "0001.png"),
    "dvxray": ("0001.json", "0001_OL.png"),
    "compass-xp": ("meta.txt", "Colour/0001.png"),
    "gdxray": ("B0001/ground_truth.txt", "B0001/B0001_0001.png"),
    "cargoxray": ("annotations.json", "images/0001.png"),
    "eagle-r60": ("1.npy", "2.npy"),
}

words = st.one_of(
    st.sampled_from(["0001.png", "P00001", "../0001.png", "\0", "a" * 5000, "\ud800", "None", "difficult", ""]),
    st.text(),
)
numbers = st.one_of(st.integers(), st.just(10**400), st.floats(), st.integers(0, 64))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words), lambda inner: st.lists(inner, max_size=4), max_leaves=6
)
ids: st.SearchStrategy[Any] = st.sampled_from([0, 1, "a", None, [], 1.5])
edges = st.one_of(values, st.lists(st.integers(-5, 70), min_size=4, max_size=4), st.lists(numbers, max_size=5))
records = st.fixed_dictionaries(
    {"id": ids, "image_id": ids, "category_id": ids},
    optional={
        **dict.fromkeys(("file_name", "filepath", "name", "label", "md5", "subset", "split"), st.one_of(words, values)),
        **dict.fromkeys(("x", "y", "w", "h", "width", "height"), st.one_of(numbers, values)),
        **dict.fromkeys(("bbox", "ol_bb", "sd_bb"), edges),
        "polygon": st.one_of(values, st.lists(st.lists(numbers, max_size=3), max_size=4)),
    },
)
tables = st.fixed_dictionaries(
    {"images": st.lists(records, max_size=3), "annotations": st.lists(records, max_size=3)},
    optional={"categories": st.lists(records, max_size=2), "objects": st.one_of(values, st.lists(records, max_size=3))},
)
lenient = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def fake(tmp_path: Path, draw: Callable[..., Path]) -> Callable[[str], Path]:
    """`fake(name)`: a folder with all of a set but its labels."""
    source = draw(tmp_path / "picture.png")

    def make(name: str) -> Path:
        folder = tmp_path / name
        for place in LABELS[name]:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / LABELS[name][1])
        return folder

    return make


def go_through(name: str, folder: Path) -> None:
    problems: list[SetError] = []
    try:
        for scan in open_set(name, folder, on_problem=problems.append):
            assert all(0 <= b.x1 < b.x2 <= scan.columns and 0 <= b.y1 < b.y2 <= scan.rows for b in scan.boxes)
            assert {box.name for box in scan.boxes} <= set(scan.labels or ())
    except LeadlineError as error:
        problems.append(error)  # type: ignore[arg-type]
    for problem in problems:
        assert "\0" not in str(problem)


@pytest.mark.parametrize("name", sorted(LABELS))
@given(data=st.binary(max_size=200))
@lenient
def test_any_bytes(fake: Callable[[str], Path], name: str, data: bytes) -> None:
    folder = fake(name)
    (folder / LABELS[name][0]).write_bytes(data)
    go_through(name, folder)


@pytest.mark.parametrize("name", ["coco", "pidray", "ldxray", "pixray", "dvxray"])
@given(table=tables)
@lenient
def test_any_tables(fake: Callable[[str], Path], name: str, table: dict[str, Any]) -> None:
    folder = fake(name)
    (folder / LABELS[name][0]).write_text(json.dumps(table))
    go_through(name, folder)


@given(images=st.lists(records, max_size=3), boxes=st.lists(records, max_size=3), kinds=st.lists(records, max_size=2))
@lenient
def test_any_records(fake: Callable[[str], Path], images: list[Any], boxes: list[Any], kinds: list[Any]) -> None:
    folder = fake("cargoxray")
    for name, part in (("images", images), ("annotations", boxes), ("categories", kinds)):
        (folder / f"{name}.json").write_text(json.dumps(part))
    go_through("cargoxray", folder)


@pytest.mark.parametrize("name", ["csv", "compass-xp", "opixray", "gdxray"])
@given(rows=st.lists(st.lists(st.one_of(words, numbers.map(str)), max_size=7), max_size=4))
@lenient
def test_any_lines(fake: Callable[[str], Path], name: str, rows: list[list[str]]) -> None:
    folder = fake(name)
    apart = {"csv": ",", "compass-xp": "\t"}.get(name, " ")
    header = {"csv": ["path,label,boxes,x1,y1,x2,y2"], "compass-xp": ["basename\tclass\tdangerous"]}.get(name, [])
    text = "\n".join([*header, *(apart.join(row) for row in rows)])
    (folder / LABELS[name][0]).write_bytes(text.encode("utf-8", "replace"))
    go_through(name, folder)
