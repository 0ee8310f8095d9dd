"""Folders of one's own: a table, class folders, VOC, COCO, masks; what is wrong in them is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leadline.datasets.public import Box, LabelledScan, SetError, open_set
from leadline.datasets.scan import LeadlineError


def scans(name: str, folder: Path) -> list[LabelledScan]:
    return list(open_set(name, folder))


def with_problems(name: str, folder: Path) -> tuple[list[LabelledScan], list[str]]:
    problems: list[SetError] = []
    found = list(open_set(name, folder, on_problem=problems.append))
    return found, [str(problem) for problem in problems]


def voc(path: Path, boxes: list[tuple[Any, ...]], size: tuple[int, int] = (48, 64), name: str = "") -> None:
    objects = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><xmax>{c}</xmax><ymin>{b}</ymin><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in boxes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><filename>{name or path.stem + '.jpg'}</filename><size><width>{size[1]}</width>"
        f"<height>{size[0]}</height><depth>3</depth></size>{objects}</annotation>",
        encoding="utf-8",
    )


# --- a table -------------------------------------------------------------------------------------------------------


def test_table_of_image_level_labels(tmp_path: Path, draw: Any) -> None:
    for name in ("a.tif", "b.tif", "c.tif"):
        draw(tmp_path / "scans" / name, bits=16, channels=2)
    (tmp_path / "labels.csv").write_text(
        "\ufeffpath,label,split,group,hs_code,description\n"
        "scans/b.tif,antimony; rare-earth oxide,train,lot 7,3816.00,tile adhesive\n"
        "scans/a.tif,,val,,,\n",
        encoding="utf-8",
    )
    b, a = scans("csv", tmp_path)
    assert (b.path, b.labels, b.split, b.group) == (
        tmp_path / "scans" / "b.tif",
        ("antimony", "rare-earth oxide"),
        "train",
        "lot 7",
    )
    assert b.declaration is not None
    assert (b.declaration.hs_code, b.declaration.description) == ("381600", "tile adhesive")
    assert (b.rows, b.columns, b.bits, b.fidelity) == (48, 64, 16, "dual")
    assert (a.labels, a.split, a.group, a.declaration) == ((), "val", "scans/a", None)
    assert (b.shows(), a.shows(), b.shows(["antimony"]), b.shows(["lead"])) == (True, False, True, False)
    scan = b.read()
    assert (scan.shape, scan.fidelity, scan.declaration) == ((48, 64), "dual", b.declaration)


def test_table_of_boxes_takes_one_row_a_box(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("label,path,x1,y1,x2,y2\nknife,a.png,1,2,30,40\ngun,a.png,5,5,64,48\n")
    (one,) = scans("csv", tmp_path)
    assert one.boxes == (Box("knife", 1, 2, 30, 40), Box("gun", 5, 5, 64, 48))
    assert one.labels == ("gun", "knife")
    assert one.fidelity == one.read().fidelity == "pseudocolour"


def test_table_in_the_words_of_evaluation_and_of_the_station(tmp_path: Path, draw: Any) -> None:
    for name in "abcde":
        draw(tmp_path / f"{name}.tif", bits=16, channels=2)
    (tmp_path / "labels.csv").write_text(
        "path,label,family,boxes,mass_kg\n"
        'a.tif,threat,antimony,"1 2 30 40; 5,5,9,9",40\n'
        "b.tif,1,,,\nc.tif,honest,,,\nd.tif,found,magnet,,\ne.tif,not_found,,,\n"
    )
    a, b, c, d, e = scans("csv", tmp_path)
    assert a.boxes == (Box("antimony", 1, 2, 30, 40), Box("antimony", 5, 5, 9, 9))
    assert (a.mass_kg, b.mass_kg) == (40, 0)
    assert [one.labels for one in (a, b, c, d, e)] == [("antimony",), ("threat",), (), ("magnet",), ()]


def test_a_table_that_is_named_itself_may_lead_anywhere(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "elsewhere" / "a.tif", bits=16, channels=2)
    (tmp_path / "mine").mkdir()
    table = tmp_path / "mine" / "today.csv"
    table.write_text("path,label\n../elsewhere/a.tif,antimony\n")
    (one,) = scans("csv", table)
    assert one.read().shape == (48, 64) and one.labels == ("antimony",)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gone.png,knife", "line 2: names gone.png, which is not in the folder"),
        ("../secret.png,knife", r"line 2: names ../secret.png, which lies outside the folder"),
        (",knife", "line 2: names no file"),
        ("a.png,knife,train,,x,1,2,3", "edges are no numbers"),
        ("a.png,knife;gun,train,,1,1,2,3", "with no class, or with several"),
        ("a.png,knife,train,,nan,1,2,3", "edges are no numbers"),
        ("a.png,knife,train,,9,9,9,12", "has no area"),
        ("a.png,knife,train,,9,9,80,12", r"from \(9, 9\) to \(80, 12\), outside a.png of 48 x 64 pixels"),
        ("a.png,honest,train,,9,9,12,12", "with no class, or with several"),
        ("b.png,honest", "line 3: labels b.png again; keep one line a scan"),
        ("b.png,knife", "line 3: labels b.png again, as the contrary"),
        ("a.png,threat,train,,,,,,lead", "labels a threat of the family lead, which is not on the watch list"),
        ("a.png,knife,train,,,,,,,-3", "has the mass_kg -3; give kilograms"),
        ("a.png,knife,train,9x", "declares an HS code that is none"),
    ],
)
def test_table_with_a_wrong_row(tmp_path: Path, draw: Any, row: str, message: str) -> None:
    draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "in" / "b.png")
    draw(tmp_path / "secret.png")
    header = "path,label,split,hs_code,x1,y1,x2,y2,family,mass_kg"
    (tmp_path / "in" / "labels.csv").write_text(f"{header}\n{row}\nb.png,,test\n")
    with pytest.raises(SetError, match=message):
        scans("csv", tmp_path / "in")
    found, problems = with_problems("csv", tmp_path / "in")
    assert len(problems) == 1
    assert found[-1].path.name == "b.png"


def test_table_that_puts_a_scan_into_two_splits(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label,split\na.png,knife,train\na.png,gun,test\n")
    with pytest.raises(SetError, match="line 3: puts a scan of the split train into test too"):
        scans("csv", tmp_path)


def test_table_without_a_column(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,knife\n")
    with pytest.raises(SetError, match="has no column path"):
        scans("csv", tmp_path)


# --- class folders -------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "train" / "antimony" / "1.tif", bits=16, channels=2)
    draw(tmp_path / "train" / "benign" / "2_high.png", bits=16, channels=1)
    draw(tmp_path / "train" / "benign" / "2_low.png", bits=16, channels=1)
    draw(tmp_path / "test" / "antimony" / "3.tif", bits=16, channels=2)
    draw(tmp_path / "stray.tif", bits=16, channels=2)
    found = {one.path.name: one for one in open_set("folders", tmp_path)}
    assert {name: (one.labels, one.split) for name, one in found.items()} == {
        "1.tif": (("antimony",), "train"),
        "2_high.png": ((), "train"),
        "3.tif": (("antimony",), "test"),
    }
    assert found["2_high.png"].fidelity == found["2_high.png"].read().fidelity == "dual"


def test_mixed_depths_are_refused(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "lead" / "1.tif", bits=16, channels=2)
    draw(tmp_path / "lead" / "2.jpg")
    draw(tmp_path / "none" / "3.tif", bits=16, channels=2)
    with pytest.raises(SetError, match="2.jpg: stores 8 bits a value, .*1.tif stores 16"):
        scans("folders", tmp_path)
    found, problems = with_problems("folders", tmp_path)
    assert [one.path.name for one in found] == ["1.tif", "3.tif"]
    assert len(problems) == 1


# --- Pascal VOC ----------------------------------------------------------------------------------------------------


def test_voc_in_its_own_folders(tmp_path: Path, draw: Any) -> None:
    for name in ("000001", "000002", "000003"):
        draw(tmp_path / "JPEGImages" / f"{name}.jpg")
    voc(tmp_path / "Annotations" / "000001.xml", [("knife", 1, 2, 30, 40), ("gun", 3, 3, 64, 48)])
    voc(tmp_path / "Annotations" / "000002.xml", [])
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "trainval.txt").write_text("000001\n000002\n")
    (sets / "train.txt").write_text("000001\n")
    one, two, three = scans("voc", tmp_path)
    assert one.boxes == (Box("knife", 1, 2, 30, 40), Box("gun", 3, 3, 64, 48))
    assert (one.labels, one.split) == (("gun", "knife"), "train")
    assert (two.labels, two.split, two.shows()) == ((), "trainval", False)
    assert (three.labels, three.split, three.shows()) == (None, None, None)


def test_voc_of_a_name_in_two_folders_means_the_nearer(tmp_path: Path, draw: Any) -> None:
    for split, rows in (("train", 48), ("valid", 50)):
        draw(tmp_path / split / "images" / "x_jpg.rf.0a1b.jpg", rows=rows)
        voc(tmp_path / split / "labels" / "x_jpg.rf.0a1b.xml", [("ym", 1, 1, 9, 9)], (rows, 64))
    train, valid = scans("voc", tmp_path)
    assert (train.rows, train.split, train.group) == (48, "train", "x")
    assert (valid.rows, valid.split, valid.group) == (50, "val", "x")


def test_voc_box_within_the_tolerance_is_clipped(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "a.jpg")
    voc(tmp_path / "a.xml", [("knife", -1, 1, 65, 50)])
    (one,) = scans("voc", tmp_path)
    assert one.boxes == (Box("knife", 0, 1, 64, 48),)


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]>
<annotation><filename>&c;</filename></annotation>"""
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation><filename>&x;</filename></annotation>'


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (BOMB, "declares a document type or entities"),
        (OUTSIDE, "declares a document type or entities"),
        ("<annotation><object>", "is broken XML"),
        ("", "is broken XML"),
        ("<project/>", "is XML but no VOC annotation"),
        ("<annotation><object/></annotation>", "has an object without a name"),
        ("<annotation><object><name>gun</name></object></annotation>", "edges are no numbers"),
    ],
)
def test_voc_with_a_wrong_file(tmp_path: Path, draw: Any, xml: str, message: str) -> None:
    draw(tmp_path / "a.jpg")
    draw(tmp_path / "b.jpg")
    (tmp_path / "a.xml").write_text(xml)
    voc(tmp_path / "b.xml", [("gun", 1, 1, 9, 9)])
    with pytest.raises(SetError, match=f"a.xml: .*{message}"):
        scans("voc", tmp_path)
    found, problems = with_problems("voc", tmp_path)
    assert len(problems) == 1
    assert [one.labels for one in found if one.path.name == "b.jpg"] == [("gun",)]


def test_voc_without_its_picture_or_of_another_size(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "b.jpg")
    voc(tmp_path / "a.xml", [("gun", 1, 1, 9, 9)])
    voc(tmp_path / "b.xml", [("gun", 1, 1, 9, 9)], size=(480, 640))
    found, problems = with_problems("voc", tmp_path)
    assert "a.xml: labels a.jpg, which is not in the folder" in problems[0]
    assert "b.xml: states 480 x 640 pixels, b.jpg has 48 x 64" in problems[1]
    assert (found[0].boxes, found[0].labels) == ((), ("gun",))


# --- COCO ----------------------------------------------------------------------------------------------------------


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": 48, "width": 64},
            {"id": 8, "file_name": "b.png", "height": 48, "width": 64},
        ],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": [4, 5, 10.5, 20]}],
        "categories": [{"id": 2, "name": "Gun"}],
    } | changes


def test_coco(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "train2017" / "a.png")
    draw(tmp_path / "train2017" / "b.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(coco()))
    (tmp_path / "info.json").write_text("[1, 2]")
    a, b = scans("coco", tmp_path)
    assert (a.boxes, a.labels, a.split) == ((Box("Gun", 4, 5, 14.5, 25),), ("Gun",), "train")
    assert (b.boxes, b.labels) == ((), ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (coco(categories=[]), "has a box of the class 2, which its categories lack"),
        (coco(annotations=[{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3]}]), "is not .x, y, width, height."),
        (
            coco(annotations=[{"image_id": 9, "category_id": 2, "bbox": [1, 2, 3, 4]}]),
            "labels 1 images that its table of images lacks, such as 9",
        ),
        (coco(annotations=[{"category_id": 2}]), "lacks or misuses the COCO field 'image_id'"),
        (coco(images=[{"id": 7, "file_name": "../a.png"}]), "lies outside the folder"),
        (coco(images=[{"id": 7, "file_name": "c.png"}]), "labels c.png, which is not in the folder"),
        (coco(images=[{"id": 7}]), "without a file_name"),
        (coco(annotations=[{"image_id": 7, "category_id": 2, "bbox": [1e400, 1, 1, 1]}]), "is not .x, y, width"),
    ],
)
def test_coco_with_a_wrong_entry(tmp_path: Path, draw: Any, values: dict[str, Any], message: str) -> None:
    draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "in" / "b.png")
    draw(tmp_path / "a.png")
    (tmp_path / "in" / "labels.json").write_text(json.dumps(values))
    with pytest.raises(SetError, match=message):
        scans("coco", tmp_path / "in")


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, '{"images": \xff'])
def test_coco_of_broken_json(tmp_path: Path, draw: Any, text: str) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "labels.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SetError, match="labels.json: is (broken JSON|no text in UTF-8)"):
        scans("coco", tmp_path)


# --- masks ---------------------------------------------------------------------------------------------------------


def test_masks_give_a_box_for_each_part(tmp_path: Path, draw: Any) -> None:
    for name in ("a.tif", "b.tif", "c.tif"):
        draw(tmp_path / "images" / name, bits=16, channels=2)
    values = np.zeros((48, 64), np.uint8)
    values[2:10, 3:9] = 1
    values[20:30, 40:64] = 2
    values[40:48, 0:5] = 1
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), values)
    cv2.imwrite(str(tmp_path / "masks" / "b.png"), np.zeros((48, 64), np.uint8))
    (tmp_path / "classes.txt").write_text("antimony\nlead\n")
    a, b, c = scans("masks", tmp_path)
    assert a.boxes == (Box("antimony", 3, 2, 9, 10), Box("antimony", 0, 40, 5, 48), Box("lead", 40, 20, 64, 30))
    assert (a.labels, a.mask) == (("antimony", "lead"), tmp_path / "masks" / "a.png")
    assert (b.labels, c.labels) == ((), None)
    (tmp_path / "classes.txt").unlink()
    assert {box.name for box in scans("masks", tmp_path)[0].boxes} == {"object"}


def test_masks_that_do_not_fit(tmp_path: Path, draw: Any) -> None:
    for name in ("a.tif", "b.tif", "c.tif"):
        draw(tmp_path / "images" / name, bits=16, channels=2)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.full((50, 64), 1, np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "b.png"), np.full((48, 64), 3, np.uint8))
    draw(tmp_path / "masks" / "c.png")
    cv2.imwrite(str(tmp_path / "masks" / "d.png"), np.full((48, 64), 1, np.uint8))
    (tmp_path / "classes.txt").write_text("antimony\n")
    _, problems = with_problems("masks", tmp_path)
    told = "\n".join(problems)
    for message in (
        "a.png: states 50 x 64 pixels, a.tif has 48 x 64",
        "b.png: holds the class 3; classes.txt names 1",
        "c.png: is coloured",
        "d.png: has no picture of its name",
    ):
        assert message in told


# --- any set -------------------------------------------------------------------------------------------------------


def test_an_unknown_set_is_told_with_the_known_ones() -> None:
    with pytest.raises(LeadlineError, match="sixrays: is no set that is read; take one of .*voc"):
        open_set("sixrays", ".")


@pytest.mark.parametrize("name", ["csv", "folders", "voc", "coco", "masks"])
def test_absent_empty_and_other_folders(tmp_path: Path, draw: Any, name: str) -> None:
    with pytest.raises(SetError, match=r"gone: does not exist; the folder must hold"):
        open_set(name, tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetError, match="empty: is empty; the folder must hold"):
        open_set(name, tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.md").write_text("nothing")
    with pytest.raises(SetError, match="other: (holds no scans of the set|has no ).*; the folder must hold"):
        open_set(name, tmp_path / "other")
    with pytest.raises(SetError, match="notes.md: (is not a folder|has no column path or label)"):
        open_set(name, tmp_path / "other" / "notes.md")


def test_links_to_folders_are_followed_once(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "disk" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "gun").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "set")
    assert [(one.path.name, one.labels) for one in scans("folders", tmp_path / "set")] == [("1.png", ("gun",))]
    (tmp_path / "set" / "labels.csv").write_text("path,label\ngun/1.png,knife\n")
    assert scans("csv", tmp_path / "set")[0].labels == ("knife",)


@pytest.mark.parametrize("damage", [b"", b"\xff\xd8\xff", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_picture_is_a_problem_of_that_picture(tmp_path: Path, draw: Any, damage: bytes) -> None:
    draw(tmp_path / "gun" / "a.jpg")
    (tmp_path / "gun" / "b.jpg").write_bytes(damage)
    found, problems = with_problems("folders", tmp_path)
    assert [one.path.name for one in found] == ["a.jpg"]
    assert len(problems) == 1
    assert "b.jpg: " in problems[0]


def test_a_pickled_array_is_never_loaded(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "gun" / "a.npy", bits=16, channels=2)
    np.save(tmp_path / "gun" / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    found, problems = with_problems("folders", tmp_path)
    assert [one.path.name for one in found] == ["a.npy"]
    assert "b.npy: " in problems[0]


# --- real samples --------------------------------------------------------------------------------------------------


def test_real_voc_of_boxed_food(real_scans: Path) -> None:
    found = scans("voc", real_scans / "voc_foreign_body")
    assert len(found) == 40
    assert {name for one in found for name in one.labels or ()} == {"ym"}
    assert len({one.group for one in found}) < len(found)
    assert all(one.fidelity == "pseudocolour" and (one.rows, one.columns) == (640, 640) for one in found)
    assert found[0].read().shape == (640, 640)


def test_real_food_in_class_folders(real_scans: Path) -> None:
    found = scans("folders", real_scans / "food_16bit")
    assert sorted(one.labels or () for one in found) == [(), (), ("positive",), ("positive",)]
    assert {(one.fidelity, one.bits) for one in found} == {("single", 16)}
