"""Archives that are damaged, hostile, large or oddly ordered, in process and through the real command."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Row
from leadline.inference.rescore import archives, sources, spool
from leadline.inference.rescore.fetch import Unfit, load
from leadline.inference.rescore.item import Item
from leadline.inference.rescore.spool import Spool
from leadline.inference.rescore.stores import open_binary
from leadline.inference.screening import Settings

Rows = Callable[..., list[Row]]
FORMS = [".tar", ".tar.gz", ".zip"]
COUNT, AT = 6, 3
"""Members of the damaged archives, and the one whose header is damaged."""

MB = 1_000_000


def write_archive(path: Path, members: list[tuple[str, bytes]]) -> None:
    """An archive of the form that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz", compresslevel=1) if path.suffix == ".gz" else tarfile.open(path, "w") as archive_:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_790_000_000
            archive_.addfile(info, io.BytesIO(data))


def header(data: bytes, at: int, **changed: bytes) -> bytes:
    """A tar whose header at an offset has other fields, and a checksum that fits them."""
    block = bytearray(data[at : at + 512])
    for name, value in changed.items():
        start = {"size": 124, "type": 156}[name]
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :]


def negative(size: int) -> bytes:
    return (size % (1 << 96)).to_bytes(12, "big")


def attribute(data: bytes, at: int) -> bytes:
    """An extended header that says of the member after it that its size is negative."""
    info = tarfile.TarInfo("x.tif")
    info.pax_headers = {"size": "-4096"}
    return data[:at] + info.tobuf(tarfile.PAX_FORMAT) + data[at:]


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "checksum": lambda data, at: data[: at + 148] + b"9" + data[at + 149 :],
    "cut before a header": lambda data, at: data[:at],
    "cut in a header": lambda data, at: data[: at + 200],
    "cut in a scan": lambda data, at: data[: at - 700],
    "back to itself": lambda data, at: header(data, at, size=negative(-512)),
    "negative size": lambda data, at: header(data, at, size=negative(-4096)),
    "negative size by attribute": attribute,
    "endless name": lambda data, at: header(data, at, size=b"77777777777\0", type=b"L"),
    "size beyond all files": lambda data, at: header(data, at, size=b"\x80" + b"\x7f" * 11),
}


@pytest.fixture(scope="module")
def members(scans: Path) -> list[tuple[str, bytes]]:
    return [(f"m{n}.tif", (scans / "day0" / f"scan{n:03}.tif").read_bytes()) for n in range(COUNT)]


@pytest.fixture(scope="module")
def whole(members: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """A tar, and where the header of its member `AT` lies."""
    path = tmp_path_factory.mktemp("whole") / "a.tar"
    write_archive(path, members)
    with tarfile.open(path) as archive:
        return path.read_bytes(), archive.getmembers()[AT].offset


def damaged(path: Path, whole: tuple[bytes, int], how: str) -> None:
    data = DAMAGES[how](*whole)
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("form", [".tar", ".tar.gz"])
@pytest.mark.parametrize("how", DAMAGES)
def test_no_damage_is_silent(how: str, form: str, tmp_path: Path, whole: tuple[bytes, int]) -> None:
    path = tmp_path / f"a{form}"
    damaged(path, whole, how)
    found = list(islice(sources.items(str(path)), 100))
    assert found[-1].place == str(path)
    assert "is damaged" in (found[-1].error or "")
    before = [item.place.partition("!")[2] for item in found[:-1] if item.error is None]
    in_place = AT - 1 if (how, form) == ("cut in a scan", ".tar.gz") else AT
    assert before[:in_place] == [f"m{n}.tif" for n in range(in_place)]
    assert len(before) <= AT + 1


@pytest.mark.parametrize("form", FORMS)
def test_an_intact_archive_has_no_error(form: str, tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    write_archive(tmp_path / f"a{form}", members)
    found = list(sources.items(str(tmp_path / f"a{form}")))
    assert [item.error for item in found] == [None] * COUNT


def test_a_folder_of_bad_archives(
    tmp_path: Path, whole: tuple[bytes, int], members: list[tuple[str, bytes]], run_rescore: Any, matters: Rows
) -> None:
    """The real command ends, says what is damaged, and keeps what can be read. Twice: nothing more is done."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number, how in enumerate(DAMAGES):
        damaged(folder / f"{number}{'.tar.gz' if number % 2 else '.tar'}", whole, how)
    write_archive(folder / "good.zip", members[:-1])
    write_archive(folder / "nested.tar", [("inside.zip", b"PK"), ("notes.txt", b"no scan")])
    write_archive(folder / "twice.tar", [("x.tif", members[0][1]), ("x.tif", members[-1][1])])
    (folder / "gone.zip").symlink_to(tmp_path / "nothing.zip")
    os.mkfifo(folder / "pipe.zip")
    options = ("--ledger", tmp_path / "ledger", "--limit-failures", "100", "--scanner", "parcel")
    run = run_rescore(folder, *options, timeout=120)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    rows = matters(tmp_path / "ledger")
    assert len([r for r in rows if r.kind == "verdict"]) == COUNT
    failures = {r.body["path"][len(str(folder)) + 1 :]: r.body["error"] for r in rows if r.kind == "failure"}
    for number in range(len(DAMAGES)):
        assert "is damaged" in failures[f"{number}{'.tar.gz' if number % 2 else '.tar'}"]
    assert "archive inside an archive" in failures["nested.tar!inside.zip"]
    assert "not there any more" in failures["gone.zip"]
    again = run_rescore(folder, *options, timeout=120)
    assert len(matters(tmp_path / "ledger")) == len(rows)
    assert " clear" not in again.stderr and " inspect" not in again.stderr  # two members of one name are both known


@pytest.mark.parametrize("form", FORMS)
def test_pairs_whose_halves_lie_far_apart(form: str, tmp_path: Path) -> None:
    """As `tar cf x.tar high/ low/` or a directory's own order has them."""
    halves = [(f"p{n:03}_{half}.png", b"%d" % n) for half in ("high", "low") for n in range(200)]
    write_archive(tmp_path / f"a{form}", halves)
    found = list(sources.items(str(tmp_path / f"a{form}")))
    assert len(found) == 200
    assert all(len(item.parts) == 2 for item in found)
    part = found[7].parts[1]
    assert part.name == "p007_low.png"
    if form == ".tar.gz":
        assert bytes(part.data) == b"7"


def test_halves_that_wait_take_no_more_room_than_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_HELD", 1000)
    write_archive(tmp_path / "a.tar.gz", [(f"p{n}_high.png", bytes(400)) for n in range(5)])
    found = list(sources.items(str(tmp_path / "a.tar.gz")))
    assert ["no other half within" in (item.error or "") for item in found] == [True, True, True, False, False]


def test_what_waits_for_its_other_half_keeps_no_more_than_that_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the spool stays as long as one half in it: neither whole scans nor pairs that came may fill it."""
    monkeypatch.setattr(archives, "MOST_HELD", 10_000)
    monkeypatch.setattr("leadline.inference.rescore.spool.SEGMENT", 1000)
    members = []
    for n in range(100):
        names = [f"s{n}.tif", f"p{n}_high.png", f"p{n}_low.png", *([f"lone{n}_high.png"] if n % 2 == 0 else [])]
        members += [(name, bytes(10 if "lone" in name else 400)) for name in names]
    write_archive(tmp_path / "a.tar.gz", members)
    made: list[weakref.ref[Any]] = []
    real = spool._Segment.__init__

    def counted(self: Any) -> None:
        real(self)
        made.append(weakref.ref(self))

    monkeypatch.setattr(spool._Segment, "__init__", counted)
    most, told = 0, []
    for item in sources.items(str(tmp_path / "a.tar.gz")):
        told.append((len(item.parts), item.error is not None))
        most = max(most, sum(segment() is not None for segment in made))
    assert len(made) > 80
    assert most < 20
    assert [told.count(kind) for kind in ((2, False), (1, False), (0, True))] == [100, 100 + 6, 44]


@pytest.mark.parametrize("form", FORMS)
def test_two_high_halves_are_no_pair(form: str, tmp_path: Path) -> None:
    """Such as a picture and a table of the same scan, or a member that was appended again."""
    write_archive(tmp_path / f"a{form}", [("x_high.tif", b"1"), ("x_high.png", b"2"), ("x_low.png", b"3")])
    found = [[part.name for part in item.parts] for item in sources.items(str(tmp_path / f"a{form}"))]
    assert found == [["x_high.tif"], ["x_high.png", "x_low.png"]]


@pytest.mark.parametrize("first", [b"\xe8", b"\xff"], ids=["UTF-8", "no UTF-8"])
def test_a_zip_is_closed_once_it_is_read(first: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    write_archive(path, [("货.tif", b"1")])
    path.write_bytes(path.read_bytes().replace(b"\xe8", first))
    streams: list[Any] = []

    def opened(place: str) -> Any:
        streams.append(open_binary(place))
        return streams[-1]

    monkeypatch.setattr("leadline.inference.rescore.zips.open_binary", opened)
    assert len(list(sources.items(str(path)))) == archives.count(str(path)) == 1
    assert [stream.closed for stream in streams] == [True, True]


def test_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends and says so: neither the archive nor its scans are at fault."""
    write_archive(tmp_path / "a.tar.gz", [("a.tif", b"II*\0")])
    write_archive(tmp_path / "a.zip", [("a.tif", b"II*\0")])
    (item,) = sources.items(str(tmp_path / "a.zip"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "absent")])
    with pytest.raises(LeadlineError, match="no room for a member.*set TMPDIR"):
        list(sources.items(str(tmp_path / "a.tar.gz")))
    with pytest.raises(Unfit, match="cannot be written.*set TMPDIR"):
        load(item, Settings())


def test_pairs_are_screened_together(tmp_path: Path, run_rescore: Any, matters: Rows) -> None:
    members = []
    for half, value in (("high", 30000), ("low", 20000)):
        for n in range(70):
            pixels = np.full((64, 64), value + n, np.uint16)
            pixels[0, 0] = 65535
            members.append((f"p{n:03}_{half}.png", cv2.imencode(".png", pixels)[1].tobytes()))
    write_archive(tmp_path / "a.tar", members)
    run = run_rescore(tmp_path / "a.tar", "--ledger", tmp_path / "ledger", "--scanner", "parcel")
    assert run.returncode == 0, run.stderr
    assert len(matters(tmp_path / "ledger", ("verdict",))) == 70


def test_a_zip_with_a_name_that_is_no_utf_8(tmp_path: Path, members: list[tuple[str, bytes]], scans: Path) -> None:
    from leadline.inference.rescore.fetch import fetch

    path = tmp_path / "a.zip"
    write_archive(path, [("ab.tif", members[0][1]), ("货.tif", members[1][1]), ("cd.tif", members[2][1])])
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    local = struct.unpack_from("<I", data, at + 42)[0]
    data[at + 9] |= 8
    data[at + 46] = data[local + 30] = 0xFF
    path.write_bytes(data)
    found = list(sources.items(str(path)))
    assert [item.error for item in found] == [None] * 3
    assert [item.place.partition("!")[2] for item in found][1:] == ["货.tif", "cd.tif"]
    assert [fetch(item.parts[0], item.place) for item in found] == [data for _, data in members[:3]]
    assert archives.count(str(path)) == 3


class TestSpool:
    def test_what_is_sent_is_the_bytes(self) -> None:
        spool = Spool()
        first, second = (spool.put(io.BytesIO(text)) for text in (b"one", b"two"))
        assert (bytes(first), bytes(second)) == (b"one", b"two")
        assert pickle.loads(pickle.dumps(second)) == b"two"

    def test_room_is_free_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("leadline.inference.rescore.spool.SEGMENT", 10)
        spool = Spool()
        kept = [spool.put(io.BytesIO(bytes(8))) for _ in range(6)]
        files = [part._segment.file for part in kept]
        assert len(set(map(id, files))) == 3
        del kept[:3]
        assert [file.closed for file in files] == [True, True, False, False, False, False]

    def test_an_item_is_counted_by_its_bytes(self, tmp_path: Path) -> None:
        write_archive(tmp_path / "a.tar.gz", [("a.tif", bytes(500))])
        ((item),) = sources.items(str(tmp_path / "a.tar.gz"))
        assert item.held == 500
        assert pickle.loads(pickle.dumps(item)).parts[0].data == bytes(500)
        assert Item("x").held == 0


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A compressed tar of 25 members of 12 MB, none of which is a scan."""
    path = tmp_path_factory.mktemp("large") / "a.tar.gz"
    write_archive(path, [(f"m{n:02}.tif", b"II*\0" + bytes([n]) + bytes(12 * MB)) for n in range(25)])
    yield path
    path.unlink()


WATCHED = """
import atexit, re, sys
from pathlib import Path
from leadline.inference.cli import main

def peak():  # not of getrusage, which counts the process that has started this one
    found = re.search("VmHWM:\\s*([0-9]+)", Path("/proc/self/status").read_text())
    print("peak", int(found[1]) // 1000, file=sys.stderr)

atexit.register(peak)
main(prog_name="leadline")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_large_members_of_a_compressed_tar_stay_on_the_disk(large: Path, models: Any, tmp_path: Path) -> None:
    """300 MB of members; the main process alone takes some 150 MB."""
    arguments = ["rescore", large, "--ledger", tmp_path / "ledger", "--model", models["parcel"], "--workers", "1"]
    command = [sys.executable, "-c", WATCHED, *map(str, arguments), "--limit-failures", "100"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stderr
    assert "25 could not be screened" in run.stderr
    assert int(run.stderr.rpartition("peak ")[2]) < 330


def test_no_room_for_a_member(large: Path, run_rescore: Any, tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 * MB, 5 * MB))

    run = run_rescore(large, "--ledger", tmp_path / "ledger", preexec_fn=limited, timeout=60)
    assert run.returncode == 2, run.stderr
    assert "no room for a member of a compressed archive" in run.stderr
    assert "Traceback" not in run.stderr
