"""Public sets: small fakes in the exact form of each, right ones and wrong ones, and the real samples."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from leadline.datasets.public import SETS, Box, LabelledScan, SetError, open_set
from leadline.datasets.public.opening import OWN, where_to_get
from leadline.datasets.public.set_sixray import UNNAMED


def scans(name: str, folder: Path) -> list[LabelledScan]:
    found = list(open_set(name, folder))
    for one in found:
        assert one.name == name
        scan = one.read()
        assert (scan.shape, scan.fidelity) == ((one.rows, one.columns), one.fidelity)
        assert scan.scanner.kind == SETS[name].scanner
    return found


def with_problems(name: str, folder: Path) -> tuple[list[LabelledScan], str]:
    problems: list[SetError] = []
    found = list(open_set(name, folder, on_problem=problems.append))
    return found, "\n".join(str(problem) for problem in problems)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def voc(name: str, box: tuple[int, int, int, int] = (1, 2, 30, 40)) -> str:
    x1, y1, x2, y2 = box
    return (
        f"<annotation>\n<size><width>64</width><height>48</height></size><object><name>{name}</name><bndbox>"
        f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object></annotation>"
    )


def coco(names: list[str], category: str = "Gun") -> str:
    """Each picture with one box [4, 5, 10, 20]."""
    values = {
        "images": [{"id": i, "file_name": name, "height": 48, "width": 64} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [4, 5, 10, 20]} for i in range(len(names))],
        "categories": [{"id": 1, "name": category}],
    }
    return json.dumps(values)


GUN = (Box("Gun", 4, 5, 14, 25),)


# --- SIXray --------------------------------------------------------------------------------------------------------


def sixray(folder: Path, draw: Any) -> Path:
    for name in ("20/P00001.jpg", "20/P00002.jpg", "20/P00003.jpg", "0/N0000001.jpg", "1/N0000002.jpg"):
        draw(folder / name)
    write(folder / "Annotation" / "P00001.xml", voc("Knife"))
    header = "name,Gun,Knife,Wrench,Pliers,Scissors\n"
    write(folder / "ImageSet/10/train.csv", header + "P00001,1,1,-1,-1,-1\n")
    write(folder / "ImageSet/10/test.csv", header + "P00002,-1,-1,-1,-1,1\nN0000001,-1,-1,-1,-1,-1\n")
    write(folder / "ImageSet/100/train.csv", header + "P00001,1,1,-1,-1,-1\nN0000002,-1,-1,-1,-1,-1\n")
    return folder


def test_sixray(tmp_path: Path, draw: Any) -> None:
    found = {one.group: one for one in scans("sixray", sixray(tmp_path, draw))}
    told = {name: (one.labels, one.split, one.part) for name, one in found.items()}
    assert told == {
        "P00001": (("Gun", "Knife"), "train", "SIXray10"),
        "P00002": (("Scissors",), "test", "SIXray10"),
        "P00003": ((UNNAMED,), None, ""),
        "N0000001": ((), "test", "SIXray10"),
        "N0000002": ((), "train", "SIXray100"),
    }
    assert found["P00001"].boxes == (Box("Knife", 1, 2, 30, 40),)
    assert found["N0000001"].shows() is False


def test_sixray_with_wrong_labels(tmp_path: Path, draw: Any) -> None:
    sixray(tmp_path, draw)
    write(tmp_path / "Annotation" / "P00009.xml", voc("Gun"))
    write(tmp_path / "Annotation" / "P00002.xml", voc("Gun", (1, 1, 640, 40)))
    write(tmp_path / "ImageSet/1000/test.csv", "name,Gun\nP00003,maybe\n")
    found, told = with_problems("sixray", tmp_path)
    assert len(found) == 5
    assert "P00009.xml: labels P00009, which is not in the folder" in told
    assert "P00002.xml: has a box of Gun from (1, 1) to (640, 40), outside P00002.jpg of 48 x 64" in told
    assert "line 2 has a class that is not 1 or -1" in told


def test_sixray_samples(real_scans: Path) -> None:
    found = list(open_set("sixray", real_scans / "sixray"))
    by_folder: dict[str, set[bool | None]] = {one.path.parent.name: set() for one in found}
    for one in found:
        by_folder[one.path.parent.name].add(one.shows())
    assert by_folder == {"benign": {False}, "positive": {True}, "voc": {True}}
    (two,) = (one for one in found if one.path.parent.name == "voc" and one.group == "P00002")
    assert two.boxes == (Box("Knife", 274, 232, 610, 460), Box("Knife", 225, 334, 591, 465))


# --- OPIXray, HiXray -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ending"), [("opixray", "jpg"), ("hixray", "jpg"), ("hixray", "tiff")])
def test_lines(tmp_path: Path, draw: Any, name: str, ending: str) -> None:
    for split, identity in (("train", "009"), ("test", "042"), ("test", "043")):
        draw(tmp_path / split / f"{split}_image" / f"{identity}.{ending}", channels=1 if ending == "tiff" else 3)
    write(tmp_path / "train/train_annotation/009.txt", "009.jpg Folding_Knife 3 4 50 40\n009.jpg Scissor 1 1 9 9\n\n")
    write(tmp_path / "test/test_annotation/042.txt", "042.TIFF Multi-tool_Knife 3 4 65 40")
    write(tmp_path / "test/test_knife-3.txt", "042\n")
    train, test, unlabelled = scans(name, tmp_path)
    assert train.boxes == (Box("Folding_Knife", 3, 4, 50, 40), Box("Scissor", 1, 1, 9, 9))
    assert (train.split, train.part, test.split, test.part) == ("train", "", "test", "occlusion 3")
    assert test.boxes == (Box("Multi-tool_Knife", 3, 4, 64, 40),)
    assert (unlabelled.group, unlabelled.labels) == ("043", None)
    assert len(scans(name, tmp_path / "test")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("009.jpg Folding Knife 3 4 50 40", "line 1 is not .* .7 words instead of 6."),
        ("009.jpg Scissor 3 4 fifty 40", "line 1 is not"),
        ("009.jpg Scissor 3 4 5000 40", "outside 009.jpg of 48 x 64"),
        ("009.jpg Scissor 50 4 3 40", "has no area"),
    ],
)
def test_lines_that_are_wrong(tmp_path: Path, draw: Any, line: str, message: str) -> None:
    draw(tmp_path / "train/train_image/009.jpg")
    write(tmp_path / "train/train_annotation/009.txt", line)
    with pytest.raises(SetError, match=f"009.txt: .*{message}"):
        scans("opixray", tmp_path)


def test_lines_for_no_picture(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "train/train_image/009.jpg")
    write(tmp_path / "train/train_annotation/009.txt", "009.jpg Scissor 3 4 5 40")
    write(tmp_path / "train/train_annotation/010.txt", "010.jpg Scissor 3 4 5 40")
    found, told = with_problems("opixray", tmp_path)
    assert [one.group for one in found] == ["009"]
    assert "010.txt: labels 010, which is not in train_image" in told


# --- COCO sets -----------------------------------------------------------------------------------------------------


def test_pidray(tmp_path: Path, draw: Any) -> None:
    for inside, table in (("train", "train"), ("easy", "test_easy"), ("hidden", "test_hidden")):
        draw(tmp_path / inside / f"xray_{inside}00001.png")
        write(tmp_path / f"annotations/xray_{table}.json", coco([f"xray_{inside}00001.png"]))
    found = scans("pidray", tmp_path)
    assert [(one.split, one.part) for one in found] == [("train", ""), ("test", "easy"), ("test", "hidden")]
    assert all(one.boxes == GUN for one in found)


def test_clcxray(tmp_path: Path, draw: Any) -> None:
    for split in ("train", "val", "test"):
        draw(tmp_path / f"{split}2017" / "000001.jpg")  # the same name in each
        write(tmp_path / f"annotations/instances_{split}2017.json", coco(["000001.jpg"]))
    found = scans("clcxray", tmp_path)
    assert [(one.split, one.path.parent.name) for one in found] == [
        ("train", "train2017"),
        ("val", "val2017"),
        ("test", "test2017"),
    ]


def test_clcxray_puts_the_known_erratum_right(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "train2017" / "20_40_04_140.png")
    table = coco([".png"]).replace('"id": 0, "file_name"', '"id": 7547, "file_name"')
    write(tmp_path / "annotations/instances_train2017.json", table.replace('"image_id": 0', '"image_id": 7547'))
    (one,) = scans("clcxray", tmp_path)
    assert (one.path.name, one.boxes) == ("20_40_04_140.png", GUN)


@pytest.mark.parametrize("above", [".", "dataset"])
def test_ldxray(tmp_path: Path, draw: Any, above: str) -> None:
    for split, view in (("train", "A"), ("train", "B"), ("test", "A")):
        draw(tmp_path / above / f"{split}_{view}" / "000001.jpg", rows=48 if view == "A" else 60)
    write(tmp_path / "train.json", coco(["000001.jpg"], "MP"))
    write(tmp_path / "test.json", coco(["000001.jpg"], "MP"))
    main, side, test = scans("ldxray", tmp_path)
    assert (main.view, side.view, side.path.parent.name) == ("A", "B", "train_B")
    assert (main.group, side.group, test.group) == ("train/000001", "train/000001", "test/000001")
    assert (len(main.boxes), main.labels) == (1, ("MP",))
    assert (side.boxes, side.labels, side.rows) == ((), ("MP",), 60)
    assert test.split == "test"


def test_miro(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "images/cargox/a.jpg")
    draw(tmp_path / "images/other/a.png")
    draw(tmp_path / "images/other/b.png")
    write(tmp_path / "annotations/cargox_coco.json", coco(["a.jpg"], "textiles"))
    write(tmp_path / "annotations/other_coco.json", coco(["images/other/a.png", "images/other/b.png"], "metal"))
    write(
        tmp_path / "MANIFEST.csv",
        "dataset,file_name,split,license\ncargox,images/cargox/a.jpg,test,unknown\nother,images/other/a.png,val,unknown\n",
    )
    found = scans("miro-cargo", tmp_path)
    assert [(one.part, one.split, one.labels, one.group) for one in found] == [
        ("cargox", "test", ("textiles",), "cargox/a"),
        ("other", "val", ("metal",), "other/a"),
        ("other", None, ("metal",), "other/b"),
    ]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("pidray", "annotations/xray_train.json"),
        ("clcxray", "annotations/instances_train2017.json"),
        ("ldxray", "train.json"),
        ("miro-cargo", "annotations/cargox_coco.json"),
        ("pixray", "annotations/pixray_train.json"),
    ],
)
def test_coco_sets_with_wrong_files(tmp_path: Path, draw: Any, name: str, table: str) -> None:
    draw(tmp_path / "there.png")
    for text, message in (
        ("{", "is broken JSON"),
        ('{"info": 1}', "has no tables images and annotations"),
        (coco(["gone.png"]), "labels gone.png, which is not in the folder"),
        (coco(["there.png"]).replace("[4, 5, 10, 20]", "[4, 5, 100, 20]"), "outside there.png of 48 x 64"),
        (coco(["there.png"]).replace('"image_id": 0', '"image_id": 5'), "labels 1 images that its table"),
    ):
        path = write(tmp_path / table, text)
        with pytest.raises(SetError, match=message) as caught:
            scans(name, tmp_path)
        assert caught.value.path == str(path)


# --- EDS -----------------------------------------------------------------------------------------------------------


def test_eds(tmp_path: Path, draw: Any) -> None:
    for domain in ("domain1", "domain3"):
        for identity in ("000001", "000002"):
            draw(tmp_path / domain / "images" / f"{identity}.jpg")
            write(tmp_path / domain / "labels" / f"{identity}.xml", voc("laptop"))
        write(tmp_path / domain / "train.txt", "000001\n")
        write(tmp_path / domain / "val.txt", "000002\n")
    found = scans("eds", tmp_path)
    assert [(one.part, one.split, one.group) for one in found] == [
        ("domain1", "train", "domain1/000001"),
        ("domain1", "val", "domain1/000002"),
        ("domain3", "train", "domain3/000001"),
        ("domain3", "val", "domain3/000002"),
    ]
    assert found[0].boxes == (Box("laptop", 1, 2, 30, 40),)
    (tmp_path / "domain1/images/000001.jpg").unlink()
    write(tmp_path / "domain1/labels/000002.xml", "<annotation>")
    found, told = with_problems("eds", tmp_path)
    assert "000001.xml: labels 000001, which is not in domain1/images" in told
    assert "000002.xml: is broken XML" in told
    assert len(found) == 2


# --- DvXray, PIXray ------------------------------------------------------------------------------------------------


def test_dvxray(tmp_path: Path, draw: Any) -> None:
    for identity in ("P00001", "N00001"):
        draw(tmp_path / identity[0] / f"{identity}_OL.png")
        draw(tmp_path / identity[0] / f"{identity}_SD.png", rows=60)
    objects = [
        {"label": "Gun", "ol_bb": [30, 40, 1, 2], "sd_bb": "difficult"},
        {"label": "Saw_blade", "ol_bb": [5, 6, 7, 8], "sd_bb": [5, 6, 7, 58]},
    ]
    write(tmp_path / "P/P00001.json", json.dumps({"name": "P00001", "objects": objects}))
    write(tmp_path / "N/N00001.json", json.dumps({"name": "N00001", "objects": "None"}))
    write(tmp_path / "P/notes.json", "{}")
    none_ol, none_sd, over, side = scans("dvxray", tmp_path)
    assert (none_ol.labels, none_sd.labels, none_ol.shows()) == ((), (), False)
    assert over.boxes == (Box("Gun", 1, 2, 30, 40), Box("Saw_blade", 5, 6, 7, 8))
    assert side.boxes == (Box("Saw_blade", 5, 6, 7, 58),)
    assert over.labels == side.labels == ("Gun", "Saw_blade")
    assert [(one.view, one.group) for one in (over, side)] == [("OL", "P00001"), ("SD", "P00001")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "P1.json: is broken JSON"),
        ('{"objects": 3}', "P1.json: has no list of objects"),
        ('{"objects": [{"ol_bb": [1, 2, 3, 4]}]}', "P1.json: has an object without a label"),
        ('{"objects": [{"label": "Gun", "ol_bb": [1, 2, 3], "sd_bb": "difficult"}]}', "ol_bb is not four numbers"),
        ('{"objects": [{"label": "Gun", "sd_bb": "difficult"}]}', "ol_bb is not four numbers"),
    ],
)
def test_dvxray_with_wrong_labels(tmp_path: Path, draw: Any, text: str, message: str) -> None:
    draw(tmp_path / "P1_OL.png")
    draw(tmp_path / "P1_SD.png")
    write(tmp_path / "P1.json", text)
    with pytest.raises(SetError, match=message):
        scans("dvxray", tmp_path)


def test_dvxray_without_a_view(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "P1_OL.png")
    write(tmp_path / "P1.json", '{"objects": "None"}')
    found, told = with_problems("dvxray", tmp_path)
    assert [one.view for one in found] == ["OL"]
    assert "P1_SD.png: does not exist" in told


def test_pixray(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "train_set/100.png")
    objects = [{"label": "Hammer", "polygon": [[10, 5], [30, 8], [20.5, 40]]}]
    write(tmp_path / "train_set/100.json", json.dumps({"imgWidth": 64, "imgHeight": 48, "objects": objects}))
    (one,) = scans("pixray", tmp_path)
    assert (one.boxes, one.split, one.group) == ((Box("Hammer", 10, 5, 30, 40),), "train", "100")
    objects[0]["polygon"] = [[10, 5], [30]]
    write(tmp_path / "train_set/100.json", json.dumps({"objects": objects}))
    with pytest.raises(SetError, match="polygon is not a list of points"):
        scans("pixray", tmp_path)
    write(tmp_path / "train_set/100.json", '{"objects": []}')
    write(tmp_path / "train_set/101.json", '{"objects": []}')
    found, told = with_problems("pixray", tmp_path)
    assert found[0].labels == ()
    assert "101.json: labels 101.png, which is not beside it" in told


def test_pixray_in_coco_form(tmp_path: Path, draw: Any) -> None:
    for split in ("train", "test"):
        draw(tmp_path / split / "1.png")
        write(tmp_path / f"annotations/pixray_{split}.json", coco(["1.png"]))
    assert [(one.split, one.path.parent.name) for one in scans("pixray", tmp_path)] == [
        ("test", "test"),
        ("train", "train"),
    ]


# --- COMPASS-XP ----------------------------------------------------------------------------------------------------


def compass(folder: Path, draw: Any, bits: int) -> Path:
    for name in ("0001", "0002"):
        draw(folder / "High" / f"{name}.png", bits=bits, channels=1)
        draw(folder / "Low" / f"{name}.png", bits=bits, channels=1)
        draw(folder / "Colour" / f"{name}.png")
        draw(folder / "Density" / f"{name}.png", channels=1)
        draw(folder / "Grey" / f"{name}.png", channels=1)
        draw(folder / "Photo" / f"{name}.jpg")
    header = "basename\tclass\tinstance\tpose\tscan_tray\tdangerous\n"
    write(folder / "meta.txt", header + "1\tpenknife\t3\t1\ta\tTrue\n2\tteddy\t1\t1\ta\tFalse\n")
    return folder


@pytest.mark.parametrize(("bits", "fidelity", "kind"), [(16, "dual", "High"), (8, "pseudocolour", "Colour")])
def test_compass(tmp_path: Path, draw: Any, bits: int, fidelity: str, kind: str) -> None:
    knife, teddy = scans("compass-xp", compass(tmp_path / "COMPASS-XP", draw, bits))
    assert (knife.labels, knife.group, knife.shows(["dangerous"])) == (("dangerous", "penknife"), "penknife/3", True)
    assert (teddy.labels, teddy.shows(["dangerous"])) == (("teddy",), False)
    assert (knife.fidelity, knife.path.parent.name) == (fidelity, kind)
    assert len(scans("compass-xp", tmp_path)) == 2  # the ZIP unpacks into a folder of its own


def test_compass_joins_the_two_energies(tmp_path: Path, draw: Any) -> None:
    compass(tmp_path, draw, 16)
    draw(tmp_path / "Low/0001.png", columns=64, rows=48, bits=16, channels=1)
    first = next(iter(open_set("compass-xp", tmp_path)))
    high, low = first.read().transmission
    for row, kind in ((high, "High"), (low, "Low")):
        stored = imagecodecs.imread(tmp_path / kind / "0001.png")
        np.testing.assert_array_equal(row, (stored / 65535).astype(np.float32))
    assert len(first.read().sha256) == 64
    draw(tmp_path / "Low/0001.png", rows=50, bits=16, channels=1)
    with pytest.raises(Exception, match="both energies of a scan have one size"):
        first.read()


def test_compass_with_wrong_rows(tmp_path: Path, draw: Any) -> None:
    compass(tmp_path, draw, 16)
    with (tmp_path / "meta.txt").open("a") as stream:
        stream.write("7\tknife\t1\t1\ta\tTrue\nseven\tknife\t1\t1\ta\tTrue\n")
    found, told = with_problems("compass-xp", tmp_path)
    assert len(found) == 2
    assert "names 0007, which is neither in High and Low nor in Colour" in told
    assert "line 5 has no number of a scan or no class" in told
    write(tmp_path / "meta.txt", "name,class\n1,knife\n")
    with pytest.raises(SetError, match="meta.txt: has no column basename or class"):
        scans("compass-xp", tmp_path)


# --- GDXray --------------------------------------------------------------------------------------------------------


def test_gdxray(tmp_path: Path, draw: Any) -> None:
    for name in ("Baggages/B0046/B0046_0001.png", "Baggages/B0046/B0046_0002.png", "Castings/C0001/C0001_0001.png"):
        draw(tmp_path / name, channels=1)
    write(
        tmp_path / "Baggages/B0046/ground_truth.txt",
        "   1.0000000e+00   3.0000000e+00   2.5500000e+01   4.0000000e+00   4.0000000e+01\n"
        "   1.0000000e+00   5.0000000e+00   9.0000000e+00   9.0000000e+00   6.0000000e+00\n",
    )
    one, two, casting = scans("gdxray", tmp_path)
    assert one.boxes == (Box("object", 3, 4, 25.5, 40), Box("object", 5, 6, 9, 9))
    assert (two.labels, casting.labels) == ((), None)
    assert [(found.group, found.part) for found in (one, two, casting)] == [
        ("B0046", "Baggages"),
        ("B0046", "Baggages"),
        ("C0001", "Castings"),
    ]


def test_gdxray_with_wrong_lines(tmp_path: Path, draw: Any) -> None:
    draw(tmp_path / "B0046/B0046_0001.png", channels=1)
    draw(tmp_path / "B0046/B0046_0002.png", rows=20, channels=1)
    write(tmp_path / "B0046/ground_truth.txt", "1 3 25 4\n9 3 25 4 40\n1 nan 25 4 40\n")
    found, told = with_problems("gdxray", tmp_path)
    assert [one.path.name for one in found] == ["B0046_0001.png"]
    for message in (
        "line 1 is not `image x1 x2 y1 y2`",
        "line 3 is not",
        "labels image 9, which is not in the folder",
        "B0046_0002.png: has 20 x 64 pixels, less than 32 a side",
    ):
        assert message in told


# --- CargoXray -----------------------------------------------------------------------------------------------------


def packed(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(values).encode()))


def cargoxray(folder: Path, draw: Any, **changes: Any) -> Path:
    draw(folder / "images/00001.jpg")
    draw(folder / "images/00002.tif", bits=16, channels=1)
    box = {"id": 0, "image_id": 1, "category_id": 7, "x": 0.5, "y": 0.25, "width": 0.5, "height": 0.5} | changes
    images = [{"image_id": 1, "file_name": "00001.jpg", "md5": "ab", "subset": "val"}]
    images += [{"image_id": 2, "file_name": "00002.tif", "md5": "cd", "subset": "train"}]
    packed(folder / "images.json.gz", images)
    packed(folder / "annotations.json.gz", [box])
    packed(folder / "categories.json.gz", [{"category_id": 7, "name": "shoes"}])
    return folder


def test_cargoxray(tmp_path: Path, draw: Any) -> None:
    one, two = scans("cargoxray", cargoxray(tmp_path, draw))
    assert (one.boxes, one.labels, one.split) == ((Box("shoes", 16, 0, 48, 24),), ("shoes",), "val")
    assert (two.boxes, two.labels, two.split) == ((), (), "train")
    assert (one.fidelity, two.fidelity, one.group) == ("pseudocolour", "single", "ab")


def test_cargoxray_of_the_first_edition_names_labels_and_paths(tmp_path: Path, draw: Any) -> None:
    cargoxray(tmp_path, draw)
    (tmp_path / "categories.json.gz").unlink()
    packed(tmp_path / "images.json.gz", [{"image_id": 1, "filepath": "data/v1/images/00001.jpg"}])
    box = {"bbox_id": 4, "image_id": 1, "x": 0.5, "y": 0.5, "width": 0.25, "height": 0.5, "label": "tyres"}
    packed(tmp_path / "annotations.json.gz", [box])
    (one,) = scans("cargoxray", tmp_path)
    assert one.boxes == (Box("tyres", 24, 12, 40, 36),)


def test_cargoxray_of_later_programs_counts_pixels_from_the_corner(tmp_path: Path, draw: Any) -> None:
    cargoxray(tmp_path, draw)
    box = {"id": 0, "image_id": 1, "category_id": 7, "x": 10, "y": 20, "w": 30, "h": 28}
    packed(tmp_path / "annotations.json.gz", [box])
    assert scans("cargoxray", tmp_path)[0].boxes == (Box("shoes", 10, 20, 40, 48),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 9}, "labels 1 images that images.json.gz lacks, such as 9"),
        ({"category_id": 8}, "has a box of no class or an unknown one"),
        ({"x": None}, "has a box of shoes without its numbers"),
        ({"x": 0.9}, "outside 00001.jpg of 48 x 64 pixels"),
    ],
)
def test_cargoxray_with_wrong_labels(tmp_path: Path, draw: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SetError, match=message):
        scans("cargoxray", cargoxray(tmp_path, draw, **changes))


def test_cargoxray_with_damaged_files(tmp_path: Path, draw: Any) -> None:
    cargoxray(tmp_path, draw)
    (tmp_path / "images/00002.tif").unlink()
    with pytest.raises(SetError, match="speaks of 00002.tif, which is not in the folder"):
        scans("cargoxray", tmp_path)
    data = (tmp_path / "images.json.gz").read_bytes()
    (tmp_path / "images.json.gz").write_bytes(data[:-12])
    with pytest.raises(SetError, match="images.json.gz: is a damaged gzip file"):
        scans("cargoxray", tmp_path)
    packed(tmp_path / "images.json.gz", {"images": []})
    with pytest.raises(SetError, match="is not a list of records"):
        scans("cargoxray", tmp_path)
    (tmp_path / "images.json.gz").unlink()
    with pytest.raises(SetError, match="has no images.json.gz or images.json; get CargoXray from"):
        scans("cargoxray", tmp_path)


# --- Eagle R60 -----------------------------------------------------------------------------------------------------


def test_eagle(tmp_path: Path, draw: Any) -> None:
    for name in ("10.npy", "9.npy"):
        draw(tmp_path / name, bits=16, channels=2)
    np.save(tmp_path / "E_dep.npy", np.arange(100.0))
    found = scans("eagle-r60", tmp_path)
    assert [(one.path.name, one.labels, one.fidelity) for one in found] == [
        ("9.npy", None, "dual"),
        ("10.npy", None, "dual"),
    ]


def test_eagle_samples(real_scans: Path) -> None:
    found = scans("eagle-r60", real_scans / "cargo_dual_6_4MeV")
    assert [(one.path.name, one.rows, one.columns, one.bits) for one in found] == [
        ("6.npy", 671, 1360, 16),
        ("8.npy", 682, 1390, 16),
        ("10.npy", 675, 1220, 16),
    ]


# --- every set -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SETS))
def test_an_absent_or_wrong_folder_tells_where_to_get_the_set(tmp_path: Path, draw: Any, name: str) -> None:
    chosen = SETS[name]
    remedy = where_to_get(chosen)
    told = (chosen.layout,) if chosen.terms == OWN else (chosen.title, chosen.address, chosen.terms, chosen.layout)
    for text in told:
        assert text in remedy
    wrong = tmp_path / "wrong"
    write(wrong / "readme.txt", "not this set")
    write(wrong / "package.json", '{"name": "something else"}')
    write(wrong / "pom.xml", "<project/>") if name != "voc" else None
    draw(wrong / "picture.png")
    for folder in (tmp_path / "gone", wrong):
        with pytest.raises(SetError) as caught:
            open_set(name, folder)
        assert str(caught.value) == f"{folder}: {caught.value.reason}; {remedy}"


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_set_says_all_that_the_docs_show(name: str) -> None:
    chosen = SETS[name]
    for field in ("title", "size", "depth", "labels", "terms", "address", "layout", "good_for", "verified"):
        assert getattr(chosen, field).strip(), field


def test_the_docs_show_the_same(root: Path) -> None:
    page = (root / "docs" / "datasets.md").read_text(encoding="utf-8").splitlines()
    for name, s in SETS.items():
        if s.terms == OWN:
            assert f"| `{name}` | {s.layout} | {s.labels} |" in page
        else:
            assert f"| `{name}`: {s.title} | {s.size} | {s.depth} | {s.labels} | {s.terms} | {s.good_for} |" in page
            assert f"| `{name}` | {s.address} | {s.layout} | {s.verified} |" in page
