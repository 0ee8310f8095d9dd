"""The manifest: matching of paths, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from leadline.datasets.manifest import read_manifest
from leadline.datasets.scan import Declaration, LeadlineError

HEADER = "path,hs_code,description\n"


def manifest(folder: Path, text: str | bytes, name: str = "manifest.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_row(tmp_path: Path) -> None:
    told = read_manifest(manifest(tmp_path, HEADER + 'a.tif,3816.00,"tile adhesive, grey"\n'))
    assert told.declaration(tmp_path / "a.tif") == Declaration("381600", "tile adhesive, grey")
    assert told.declaration(str(tmp_path / "a.tif")) == Declaration("381600", "tile adhesive, grey")
    assert told.declaration(tmp_path / "b.tif") is None
    assert told.rows[0].line == 2


def test_columns_in_any_order_and_extra_ones(tmp_path: Path) -> None:
    text = "Consignee, Description ,HS_code,path\nx,锑锭,8110,扫描/一.tif\n\n,,,\n"
    told = read_manifest(manifest(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert told.declaration(tmp_path / "扫描" / "一.tif") == Declaration("8110", "锑锭")
    assert len(told.rows) == 1


def test_either_cell_may_be_empty(tmp_path: Path) -> None:
    told = read_manifest(manifest(tmp_path, HEADER + "a.tif,8110,\nb.tif,,lead\nc.tif,,\nd.tif,8110\n"))
    declared = [told.declaration(tmp_path / f"{name}.tif") for name in "abcd"]
    assert declared == [Declaration("8110"), Declaration(None, "lead"), None, Declaration("8110")]


def test_paths_absolute_from_the_folder_and_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists, here = tmp_path / "lists", tmp_path / "here"
    lists.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    rows = f"{tmp_path}/x.tif,8101,\na.tif,8102,\n../up.tif,8103,\nsub/./b.tif,8104,\n"
    told = read_manifest(manifest(lists, HEADER + rows))
    codes = {
        tmp_path / "x.tif": "8101",
        lists / "a.tif": "8102",
        here / "a.tif": "8102",
        Path("a.tif"): "8102",
        tmp_path / "up.tif": "8103",
        lists / "sub" / "b.tif": "8104",
        Path("sub/b.tif"): "8104",
        Path("sub") / ".." / "sub" / "b.tif": "8104",
    }
    for path, code in codes.items():
        assert told.declaration(path) == Declaration(code), path
    relative = Path("../lists/manifest.csv")
    assert read_manifest(relative).declaration("../lists/a.tif") == Declaration("8102")


def test_the_manifests_folder_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`../here/a.tif` and `a.tif` are the same file for one reading of the second only."""
    lists, here = tmp_path / "lists", tmp_path / "here"
    lists.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    told = read_manifest(manifest(lists, HEADER + "a.tif,8101,\n../here/a.tif,8102,\n"))
    assert told.declaration(here / "a.tif") == Declaration("8102")
    assert told.declaration(lists / "a.tif") == Declaration("8101")


@pytest.mark.parametrize("written", ["X_high.png", "X_low.png"])
def test_a_pair_goes_by_either_half(tmp_path: Path, written: str) -> None:
    for name in ("X_high.png", "X_low.png"):
        (tmp_path / name).touch()
    told = read_manifest(manifest(tmp_path, HEADER + f"{written},8110,\n"))
    assert told.declaration(tmp_path / "X_high.png") == Declaration("8110")
    assert told.unused([tmp_path / "X_high.png"]) == []


def test_unused_rows(tmp_path: Path) -> None:
    told = read_manifest(manifest(tmp_path, HEADER + "a.tif,8110,\nmisspelt.tif,8110,\n"))
    unused = told.unused([tmp_path / "a.tif", tmp_path / "other.tif"])
    assert [(row.line, row.path) for row in unused] == [(3, "misspelt.tif")]


BAD = {
    "empty": ("", "manifest.csv: is empty"),
    "no column": ("path,description\na.tif,x\n", "line 1: has no column hs_code"),
    "no header": ("a.tif,3816,x\n", "line 1: has no column path or hs_code or description"),
    "semicolons": ("path;hs_code;description\na.tif;3816;x\n", "separated by commas"),
    "column twice": ("path,hs_code,description,path\n", "line 1: has the column path twice"),
    "hs code": (HEADER + "a.tif,3816,x\nb.tif,77ab,x\n", "line 3: HS code '77ab'"),
    "chapter": (HEADER + "a.tif,9901,x\n", "line 2: HS code '9901': there is no chapter 99"),
    "duplicate": (
        HEADER + "a.tif,3816,x\nb.tif,3816,x\n./a.tif,8110,x\n",
        "line 4: ./a.tif is already declared in line 2",
    ),
    "no path": (HEADER + ",3816,x\n", "line 2: names no scan"),
    "loose comma": (HEADER + "a.tif,3816,tiles, grey\n", "line 2: has more cells than the header"),
    "open quote": (HEADER + 'a.tif,3816,"tiles\n', "is not CSV"),
    "nul": (HEADER + "a\0.tif,3816,x\n", "line 2"),
    "gb18030": ((HEADER + "a.tif,8110,").encode() + "锑锭".encode("gb18030") + b"\n", "line 2: is not UTF-8"),
    "utf-16": ((HEADER + "a.tif,8110,x\n").encode("utf-16"), "line 1: is not UTF-8"),
    "binary": (bytes(range(256)), "is not UTF-8"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused(tmp_path: Path, case: str) -> None:
    text, message = BAD[case]
    path = manifest(tmp_path, text)
    with pytest.raises(LeadlineError) as caught:
        read_manifest(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert ";" in str(caught.value)


def test_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(LeadlineError, match="does not exist"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(LeadlineError, match="is a folder"):
        read_manifest(tmp_path)
