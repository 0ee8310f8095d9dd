"""Manifests and lists with mistakes in them, in process and through the real command."""

from __future__ import annotations

import os
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Row
from leadline.inference.rescore import sources
from leadline.inference.rescore.item import Item
from leadline.inference.rescore.lists import read_list
from leadline.inference.rescore.manifest import Manifest

Rows = Callable[..., list[Row]]
HEADER = "path,hs_code,description\n"


@pytest.fixture
def archive(tmp_path: Path, scans: Path) -> Path:
    """A folder of three scans."""
    (tmp_path / "in").mkdir()
    for n in range(3):
        shutil.copy(scans / "day0" / f"scan{n:03}.tif", tmp_path / "in" / f"{n}.tif")
    return tmp_path / "in"


class TestRuns:
    def test_lines_that_meet_no_scan(self, archive: Path, tmp_path: Path, run_rescore: Any, matters: Rows) -> None:
        shutil.copy(archive / "0.tif", tmp_path / "beside.tif")
        lost = "".join(f"in/lost{n}.tif,3816,x\n" for n in range(7))
        (tmp_path / "goods.csv").write_text(f"{HEADER}in/1.tif,3816,mortar\nbeside.tif,3816,x\n{lost}")
        run = run_rescore(archive, "--ledger", tmp_path / "ledger", "--manifest", tmp_path / "goods.csv")
        assert run.returncode == 1, run.stderr
        assert f"goods.csv line 4: {tmp_path}/in/lost0.tif is no scan of the sources" in run.stderr
        assert "line 9" not in run.stderr
        assert "2 more of its lines meet no scan" in run.stderr
        assert "1 of its scans were not in the sources" in run.stderr
        declared = {Path(r.body["path"]).name: r.body["declared"] for r in matters(tmp_path / "ledger")}
        assert declared["1.tif"]["description"] == "mortar"
        (tmp_path / "goods.csv").write_text(f"{HEADER}in/1.tif,3816,mortar\nbeside.tif,3816,x\n")
        again = run_rescore(archive, "--ledger", tmp_path / "ledger", "--manifest", tmp_path / "goods.csv")
        assert again.returncode == 0, again.stderr  # known scans meet their lines as well
        assert "3 done in an earlier run" in again.stderr

    def test_lines_of_the_current_folder(self, archive: Path, tmp_path: Path, run_rescore: Any) -> None:
        """A scan that is there, if not in the source, is no wrong path, wherever the manifest lies."""
        (tmp_path / "lists").mkdir()
        shutil.copy(archive / "0.tif", tmp_path / "beside.tif")
        (tmp_path / "lists" / "goods.csv").write_text(f"{HEADER}in/1.tif,3816,mortar\nbeside.tif,3816,x\n")
        run = run_rescore("in", "--ledger", "ledger", "--manifest", "lists/goods.csv", cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert "1 of its scans were not in the sources" in run.stderr

    @pytest.mark.parametrize("name", ["goods.xlsx", "list.txt", "/dev/null", "goods"])
    def test_a_manifest_that_is_no_table(self, name: str, archive: Path, tmp_path: Path, run_rescore: Any) -> None:
        if not name.startswith("/"):
            (tmp_path / name).write_text("in/1.tif\n")
        run = run_rescore(archive, "--ledger", tmp_path / "ledger", "--manifest", tmp_path / name)
        assert run.returncode == 2, run.stderr
        assert "is neither .csv nor .parquet" in run.stderr
        assert not (tmp_path / "ledger").exists()

    def test_bad_lines_of_a_source(self, archive: Path, tmp_path: Path, run_rescore: Any, matters: Rows) -> None:
        """Each is a failure that says which line, and the others are screened; a rerun adds nothing."""
        lines = [
            "in/0.tif,3816,x",
            "in/1.tif,bad,x",
            "nosuch://x,,",
            ",3816,x",
            "a,b,c,d",
            'in/2"x".tif,,"y"z',
            "in/2.tif,,",
        ]
        (tmp_path / "goods.csv").write_text(HEADER + "\n".join(lines) + "\n")
        for _ in range(2):
            run = run_rescore(tmp_path / "goods.csv", "--ledger", tmp_path / "ledger", "--limit-failures", "100")
            assert run.returncode == 1, run.stderr
            assert "Traceback" not in run.stderr
        rows = matters(tmp_path / "ledger")
        assert [Path(r.body["path"]).name for r in rows if r.kind == "verdict"] == ["0.tif", "2.tif"]
        errors = {Path(r.body["path"]).name: r.body["error"] for r in rows if r.kind == "failure"}
        assert set(errors) == {"1.tif", "x", *(f"goods.csv line {n}" for n in (5, 6, 7))}
        for name, said in {
            "1.tif": "HS code 'bad': is not made of digits", "x": "nosuch://", "goods.csv line 5": "names no scan",
            "goods.csv line 6": "more cells", "goods.csv line 7": "is no CSV",
        }.items():  # fmt: skip
            assert said in errors[name]

    def test_no_room_for_a_manifest(self, archive: Path, tmp_path: Path, run_rescore: Any) -> None:
        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

        (tmp_path / "goods.csv").write_text(HEADER + "".join(f"in/{n}.tif,3816,mortar\n" for n in range(30_000)))
        command = (archive, "--ledger", tmp_path / "ledger", "--manifest", tmp_path / "goods.csv")
        run = run_rescore(*command, preexec_fn=limited)
        assert run.returncode == 2, run.stderr
        assert "no room for it in" in run.stderr
        assert "Traceback" not in run.stderr


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the process: the file has no name while it is there."""
    (tmp_path / "tmp").mkdir()
    for name in ("TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / "tmp"))
    (tmp_path / "goods.csv").write_text(HEADER + "".join(f"in/{n}.tif,3816,mortar\n" for n in range(30_000)))
    with Manifest(str(tmp_path / "goods.csv")) as manifest:
        assert list((tmp_path / "tmp").iterdir()) == []
        assert manifest.find("", str(tmp_path / "in" / "29999.tif")) is not None
        assert sum(1 for _ in manifest.unused()) == 29_999


def test_members_however_their_archive_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the manifest's folder, from the current one, absolute, through a link, or by its name alone."""
    (tmp_path / "rem").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "rem")
    with zipfile.ZipFile(tmp_path / "rem" / "x.zip", "w") as archive:
        archive.writestr("d/scan.tif", b"x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for folder, written in [
        (".", "rem/x.zip"), (".", "./rem/x.zip"), ("rem", "x.zip"), ("elsewhere", "rem/x.zip"), ("elsewhere", "x.zip"),
        (".", "link/x.zip"), ("elsewhere", f"{tmp_path}/rem/x.zip"),
    ]:  # fmt: skip
        Path(folder, "goods.csv").write_text(f"{HEADER}{written}!d/scan.tif,3816,mortar\n")
        for source in ("rem/x.zip", "./rem/x.zip", f"{tmp_path}/rem/x.zip", "link/x.zip"):
            with Manifest(f"{folder}/goods.csv") as manifest:
                (item,) = sources.declare(sources.items(source), manifest)
                assert item.declaration is not None, (folder, written, source)
                assert not list(manifest.unused())
    Path("goods.csv").write_text(f"{HEADER}rem/y.zip!d/scan.tif,3816,x\nodd!name.tif,3816,y\n")
    with Manifest("goods.csv") as manifest:
        (item,) = sources.declare(sources.items("rem/x.zip"), manifest)
        assert item.declaration is None
        assert manifest.find("", str(tmp_path / "odd!name.tif")) is not None  # a file, for there is no archive in it


def test_codes_that_became_floats(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "path": ["a.tif", "b.tif", "c.tif"],
        "hs_code": pa.array([382450.0, float("nan"), None], pa.float64()),
        "description": ["mortar", None, "x"],
    }
    pq.write_table(pa.table(columns), tmp_path / "goods.parquet")
    found = [line.declaration for line in read_list(str(tmp_path / "goods.parquet"))]
    assert [goods and goods.hs_code for goods in found] == ["382450", None, None]
    with Manifest(str(tmp_path / "goods.parquet")) as manifest:
        line = manifest.find("", str(tmp_path / "a.tif"))
        assert line is not None and line.declaration is not None and line.declaration.hs_code == "382450"


def test_a_url_is_found_with_and_without_its_signature(tmp_path: Path) -> None:
    (tmp_path / "goods.csv").write_text(f"{HEADER}https://h/a.tif?X-Amz-Signature=2,3816,x\n")
    with Manifest(str(tmp_path / "goods.csv")) as manifest:
        assert manifest.find(Item("https://h/a.tif").place) is not None


def test_a_list_of_names_too_long_for_the_system(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"x" * 5000 + b".tif\n" + os.fsencode(tmp_path) + b"/a\0b.tif\n")
    assert [item.stamp for item in sources.items(str(tmp_path / "list.txt"))] == ["", ""]


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    """The lines that it takes with it are told: they are not screened."""
    lines = [f"{n}.tif,,\n" for n in range(20_000)]
    lines[1] = '1.tif,,"mortar\n'
    (tmp_path / "goods.csv").write_text(HEADER + "".join(lines))
    found = list(read_list(str(tmp_path / "goods.csv")))
    (bad,) = (line for line in found if line.error is not None)
    assert len(found) == 1 + 1 + 20_001 - bad.line
    assert "nothing from line 3 to here was read; close the quotes there" in (bad.error or "")
    with pytest.raises(LeadlineError, match="nothing from line 3 to here"):
        Manifest(str(tmp_path / "goods.csv"))


def test_a_manifest_names_its_bad_line(tmp_path: Path) -> None:
    (tmp_path / "goods.csv").write_text(f"{HEADER}a.tif,3816,x\nb.tif,x12,x\n")
    with pytest.raises(LeadlineError, match="line 3: HS code"):
        Manifest(str(tmp_path / "goods.csv"))
