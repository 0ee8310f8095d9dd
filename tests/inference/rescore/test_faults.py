"""Faults that are done to runs for real: crashing decoders, full disks, databases that go, files that lie."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leadline.datasets.scan import LeadlineError
from leadline.inference.ledger import Ledger, Row, verify
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.compare import Comparison
from leadline.inference.rescore.compare_html import write_html
from leadline.inference.rescore.item import Job
from leadline.inference.screening import Settings

Rows = Callable[..., list[Row]]
PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]


def begin(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start `leadline rescore` and go on."""
    return subprocess.Popen([*PROGRAM, "rescore", *map(str, arguments)], stderr=subprocess.PIPE, text=True, **options)


def test_files_that_lie(scans: Path, tmp_path: Path, run_rescore: Any, matters: Rows) -> None:
    """Each bad file is one row that says why; names in any encoding; links that lead back; the same scan twice."""
    archive = tmp_path / "archive"
    archive.mkdir()
    source = scans / "day0"
    shutil.copy(source / "scan000.tif", archive / "good.tif")
    shutil.copy(source / "scan000.tif", archive / "good-again.tif")
    shutil.copy(source / "scan001.tif", os.fsencode(archive) + b"/bad-\xff\xe8\xb4\xa7.tif")
    (archive / "broken.tif").write_bytes((source / "scan002.tif").read_bytes()[:2000])
    (archive / "empty.tif").touch()
    (archive / "nowhere.tif").symlink_to(tmp_path / "nothing")
    (archive / "itself.tif").symlink_to(archive / "itself.tif")
    (archive / "loop").symlink_to(archive)
    (archive / "up").symlink_to(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(source / "scan003.tif", elsewhere / "linked.tif")
    (archive / "away").symlink_to(elsewhere)
    (archive / "away too").symlink_to(elsewhere)
    cv2.imwrite(str(archive / "photo.png"), np.zeros((50, 50), np.uint8))
    (archive / "notes.txt").write_text("no scan")
    high, low = (np.full((64, 64), v, np.uint16) for v in (30000, 20000))
    cv2.imwrite(str(archive / "pair_high.png"), high)
    cv2.imwrite(str(archive / "pair_low.png"), low)
    run = run_rescore(archive, "--ledger", tmp_path / "ledger", "--limit-failures", "100", "--scanner", "parcel")
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    rows = matters(tmp_path / "ledger")
    screened = [os.fsencode(Path(r.body["path"]).name) for r in rows if r.kind == "verdict"]
    assert sorted(screened) == sorted([b"good-again.tif", b"bad-\xff\xe8\xb4\xa7.tif", b"linked.tif", b"pair_high.png"])
    errors = {Path(r.body["path"]).name: r.body["error"] for r in rows if r.kind == "failure"}
    assert set(errors) == {"broken.tif", "empty.tif", "nowhere.tif", "itself.tif"}
    assert "is cut" in errors["broken.tif"]
    assert "1 the ledger held already" in run.stderr
    (archive / "nowhere.tif").unlink()
    shutil.copy(source / "scan004.tif", archive / "nowhere.tif")  # what was missing is tried again
    again = run_rescore(archive, "--ledger", tmp_path / "ledger", "--limit-failures", "100", "--scanner", "parcel")
    assert again.returncode == 1
    assert len(matters(tmp_path / "ledger", ("verdict",))) == 5


POISON = """
import os, signal
import leadline.inference.rescore.fetch as fetch
real = fetch.read_scan
def read_scan(path, **values):
    name = os.path.basename(path)
    if name == "scan007.tif":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "scan012.tif" and not os.path.exists(os.environ["KILLED_ONCE"]):
        open(os.environ["KILLED_ONCE"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, **values)
fetch.read_scan = read_scan
"""


def test_a_poison_file_and_a_worker_killed_by_the_kernel(
    scans: Path, tmp_path: Path, run_rescore: Any, matters: Rows
) -> None:
    """One file always takes its decoder's process with it; another's process is killed once, as if memory was short."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "KILLED_ONCE": str(tmp_path / "killed")}
    run = run_rescore(scans / "day0", "--ledger", tmp_path / "ledger", workers=2, env=environment)
    assert run.returncode == 1, run.stderr
    assert (tmp_path / "killed").exists()
    rows = matters(tmp_path / "ledger")
    assert [Path(r.body["path"]).name for r in rows] == [f"scan{n:03}.tif" for n in range(20)]
    (failure,) = (r for r in rows if r.kind == "failure")
    assert Path(failure.body["path"]).name == "scan007.tif"
    assert "SIGSEGV" in failure.body["error"]
    again = run_rescore(scans / "day0", "--ledger", tmp_path / "ledger", "--retry-failed")
    assert again.returncode == 0, again.stderr
    assert len(matters(tmp_path / "ledger", ("verdict",))) == 20


HANGING = """
import os, re
import leadline.inference.rescore.fetch as fetch
real = fetch.read_scan
def read_scan(path, **values):
    if os.path.basename(path) == "scan002.tif":
        re.match("(a+)+$", 64 * "a" + "b")  # takes years, and no other thread of the process goes on meanwhile
    return real(path, **values)
fetch.read_scan = read_scan
"""


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start from now on have a decoder that never returns from scan002.tif."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def test_a_decoder_that_never_returns(
    scans: Path, tmp_path: Path, hanging: None, run_rescore: Any, matters: Rows
) -> None:
    """Its worker is ended twice, the second time with no other scan beside it; then the scan is a failure."""
    place = tmp_path / "ledger"
    run = run_rescore(scans / "day0", "--ledger", place, "--timeout", "3", workers=2)
    assert run.returncode == 1, run.stderr
    rows = matters(place)
    assert [Path(r.body["path"]).name for r in rows] == [f"scan{n:03}.tif" for n in range(20)]
    (failure,) = (r for r in rows if r.kind == "failure")
    assert Path(failure.body["path"]).name == "scan002.tif"
    assert "gives no result within 3 s" in failure.body["error"]
    assert failure.subject == hashlib.sha256((scans / "day0" / "scan002.tif").read_bytes()).hexdigest()
    again = run_rescore(scans / "day0", "--ledger", place, "--timeout", "3")
    assert "20 done in an earlier run, 1 of them failed then" in again.stderr


def test_a_hanging_scan_does_not_hold_up_the_measurement(scans: Path, hanging: None, models: Any) -> None:
    settings = Settings(scanner="parcel")
    job = Job(settings, models["parcel"], None, "verdict", "0" * 64, "run", timeout_s=1)
    found = list(sources.items(str(scans)))
    assert tune.choose(job, found, 2) == tune.default(job, 2)


def test_too_many_failures(scans: Path, tmp_path: Path, run_rescore: Any, matters: Rows) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for n in range(60):
        (archive / f"a{n:02}.tif").write_bytes(b"II*\0" + bytes([n]) * 50)
    shutil.copytree(scans / "day0", archive / "z")
    run = run_rescore(archive, "--ledger", tmp_path / "ledger", "--limit-failures", "20%")
    assert run.returncode == 3, run.stderr
    assert "50 of 50 scans failed" in run.stderr
    assert "a49.tif" in run.stderr
    assert len(matters(tmp_path / "ledger", ("failure",))) >= 50
    run = run_rescore(archive, "--ledger", tmp_path / "ledger", "--limit-failures", "60")
    assert run.returncode == 1, run.stderr
    assert len(matters(tmp_path / "ledger", ("failure",))) == 60
    assert len(matters(tmp_path / "ledger", ("verdict",))) == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", folder]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_disk_full(scans: Path, small_disk: Path, run_rescore: Any, matters: Rows) -> None:
    place = small_disk / "ledger"
    run = run_rescore(scans, "--ledger", place)
    assert run.returncode in (2, 4), run.stderr
    assert "no room is left" in run.stderr or "full" in run.stderr
    assert "Traceback" not in run.stderr
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert run_rescore(scans, "--ledger", place).returncode == 0
    assert len(matters(place)) == 40
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact


def test_database_gone_and_back(scans: Path, postgresql: Any, models: Any, matters: Rows, wait_for_rows: Any) -> None:
    place = postgresql.place()
    with begin(scans, "--ledger", place, "--model", models["parcel"], "--workers", "1") as process:
        wait_for_rows(place, 1, process)
        postgresql.stop()
        try:
            time.sleep(3)
        finally:
            postgresql.start()
        said = process.communicate()[1]
    assert process.returncode == 0, said
    assert [Path(r.body["path"]).name for r in matters(place)] == [f"scan{n:03}.tif" for n in range(40)]
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact


def test_ctrl_c(scans: Path, tmp_path: Path, models: Any, run_rescore: Any, matters: Rows, wait_for_rows: Any) -> None:
    archive = tmp_path / "archive"
    for n in range(10):
        shutil.copytree(scans, archive / f"copy{n}")
    place = tmp_path / "ledger"
    arguments = (archive, "--ledger", place, "--model", models["parcel"], "--workers", "1")
    with begin(*arguments, start_new_session=True) as process:
        wait_for_rows(place, 1, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert 0 < len(matters(place)) <= 40
    run = run_rescore(archive, "--ledger", place)
    assert run.returncode == 0
    assert "done in an earlier run" in run.stderr
    assert len(matters(place)) == 40


def test_ctrl_c_while_the_database_is_gone(
    scans: Path, tmp_path: Path, postgresql: Any, models: Any, wait_for_rows: Any
) -> None:
    archive = tmp_path / "archive"
    for n in range(60):
        shutil.copytree(scans, archive / f"copy{n}")
    place = postgresql.place()
    arguments = (archive, "--ledger", place, "--model", models["parcel"], "--workers", "1")
    with begin(*arguments, start_new_session=True) as process:
        wait_for_rows(place, 1, process)
        postgresql.stop()
        try:
            time.sleep(2)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        finally:
            process.kill()
            postgresql.start()
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said and "Traceback" not in said


def test_database_gone_at_the_start(scans: Path, postgresql: Any, run_rescore: Any) -> None:
    """Told apart from wrong use: whoever starts runs by a timer may simply do it again."""
    place = postgresql.place()
    postgresql.stop()
    try:
        run = run_rescore(scans, "--ledger", place)
    finally:
        postgresql.start()
    assert run.returncode == 4, run.stderr
    assert "does not answer" in run.stderr
    assert "Traceback" not in run.stderr


def test_database_hangs(scans: Path, tmp_path: Path, postgresql: Any, models: Any, run_rescore: Any, matters: Rows,
                        wait_for_rows: Any) -> None:  # fmt: skip
    """It takes what is sent to it and never answers: the second Ctrl-C ends the run all the same."""
    archive = tmp_path / "archive"
    for n in range(10):
        shutil.copytree(scans, archive / f"copy{n}")
    place = postgresql.place()
    arguments = (archive, "--ledger", place, "--model", models["parcel"], "--workers", "1")
    with begin(*arguments, start_new_session=True) as process:
        wait_for_rows(place, 1, process)
        postgresql.signal(signal.SIGSTOP)
        try:
            for _ in range(2):
                time.sleep(2)
                os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        finally:
            postgresql.signal(signal.SIGCONT)
            process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    run = run_rescore(archive, "--ledger", place)
    assert run.returncode == 0, run.stderr
    assert len(matters(place)) == 40
    with Ledger.open(place) as ledger:
        assert verify(ledger).intact


def test_ctrl_c_before_the_run(scans: Path, tmp_path: Path, models: Any) -> None:
    """While the manifest is read, which takes long if it is large; here it never ends."""
    goods = tmp_path / "goods.csv"
    os.mkfifo(goods)
    arguments = (scans, "--ledger", tmp_path / "ledger", "--model", models["parcel"], "--manifest", goods)
    with begin(*arguments, start_new_session=True) as process, goods.open("w") as stream:
        stream.write("path,hs_code\n")
        stream.flush()
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "leadline rescore: interrupted; run the same command again" in said
    assert "Traceback" not in said


EARLY = """
import os, signal, sys
if "--multiprocessing-fork" in sys.orig_argv:
    try:
        os.close(os.open(os.environ["TOLD_ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        os.killpg(0, signal.SIGINT)
"""


@pytest.mark.parametrize("folder", [".", "day0"], ids=["that measures", "that works"])
def test_ctrl_c_while_a_process_starts(scans: Path, tmp_path: Path, models: Any, folder: str) -> None:
    """It goes to the whole group, also to the process that has had no time yet to look away."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(EARLY)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "TOLD_ONCE": str(tmp_path / "told")}
    arguments = (scans / folder, "--ledger", tmp_path / "ledger", "--model", models["parcel"], "--workers", "2")
    with begin(*arguments, start_new_session=True, env=environment) as process:
        said = process.communicate()[1]
    assert (tmp_path / "told").exists()
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said


JUMPING = """
import itertools, random, time
import leadline.inference.ledger.store as store
random.seed(7)
class Jumping(store.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls(random.randrange(1, 9999), 1, 1, tzinfo=zone)
store.datetime = Jumping
time.time = lambda: random.uniform(0, 4e9)
"""


def test_a_clock_that_jumps(
    scans: Path, tmp_path: Path, place: str, run_rescore: Any, leadline: Any, matters: Rows
) -> None:
    """By centuries, back and forth, from row to row; then it is right again. Rows are ordered by number alone."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(JUMPING)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    run = run_rescore(scans / "day0", "--ledger", place, env=environment)
    assert run.returncode == 0, run.stderr
    assert run_rescore(scans, "--ledger", place).returncode == 0
    rows = matters(place)
    assert [Path(row.body["path"]).name for row in rows] == [f"scan{n:03}.tif" for n in range(40)]
    times = [row.at for row in rows]
    assert len(set(times[:20])) > 10
    assert times != sorted(times)
    assert leadline("ledger", "verify", place).returncode == 0
    again = run_rescore(scans, "--ledger", place)
    assert "40 done in an earlier run" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent", "--ledger", "l"], 2, "absent: does not exist"),
        ([".", "--ledger", "l"], 2, "no scans in there"),
        ([".", "--ledger", "no/l"], 2, "there is no folder"),
        ([".", "--ledger", "l", "--limit-failures", "x"], 2, "--limit-failures x"),
        ([".", "--ledger", "l", "--model", "absent.onnx"], 2, "absent.onnx"),
        ([".", "--ledger", "l", "--threshold", "nan"], 2, "'nan' is no finite number"),
        ([".", "--ledger", "l", "--false-alarm-rate", "nan"], 2, "'nan' is no finite number"),
        ([".", "--ledger", "l", "--timeout", "inf"], 2, "'inf' is no finite number"),
    ],
)
def test_wrong_use(tmp_path: Path, leadline: Any, models: Any, arguments: list[str], code: int, said: str) -> None:
    extra = [] if "--model" in arguments else ["--model", models["parcel"]]
    run = leadline("rescore", *arguments, *extra, cwd=tmp_path)
    assert run.returncode == code, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_shadow_and_comparison(
    scans: Path, tmp_path: Path, run_rescore: Any, leadline: Any, write_model: Any, matters: Rows
) -> None:
    """A candidate that alarms at everything: its verdicts stand apart, and the flips are told."""
    place = tmp_path / "ledger"
    (tmp_path / "goods.csv").write_text(f"path,hs_code,description\n{scans}/day0/scan001.tif,3816,<b>mortar</b>\n")
    candidate = write_model(tmp_path / "candidate.onnx", "parcel", version="9", thresholds={"0.01": 0.0})
    manifest = ("--manifest", tmp_path / "goods.csv")
    assert run_rescore(scans / "day0", "--ledger", place, *manifest).returncode == 0
    before = matters(place)
    assert run_rescore(scans / "day0", "--ledger", place, *manifest, "--shadow", model=candidate).returncode == 0
    assert matters(place, ("verdict",)) == before
    assert len(matters(place, ("shadow",))) == 20
    run = leadline("compare-ledgers", place, "--shadow", "--json", "--html", tmp_path / "changed.html")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["both"] == 20
    assert found["flips"] == [{"old": "clear", "new": "inspect", "count": 15}]
    assert found["by"]["goods"]["<b>mortar</b>"]["clear to inspect"] == 1
    assert len(found["second_look"]) == 15
    weights = [flip["weight"] for flip in found["second_look"]]
    assert weights == sorted(weights, reverse=True)
    page = (tmp_path / "changed.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 15
    assert "&lt;b&gt;mortar" in page
    assert "<b>mortar" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    run = leadline("compare-ledgers", place, "--old-model", "00", "--new-model", "11")
    assert run.returncode == 2
    assert "has no rows of kind verdict" in run.stderr
    table = leadline("compare-ledgers", place, place, "--old-model", before[0].model[:8], "--shadow", "--first", "2")
    assert "clear to inspect: 15" in table.stdout


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "page.html", tmp_path / ("x" * 300)):
        with pytest.raises(LeadlineError, match="cannot be written"):
            write_html(Comparison(), target)


@pytest.mark.parametrize(("form", "pictures"), [("zip", 5), ("tar", 5), ("gztar", 0)])
def test_thumbnails_of_what_lies_in_archives(
    scans: Path, tmp_path: Path, run_rescore: Any, leadline: Any, write_model: Any, form: str, pictures: int
) -> None:
    """As long as they still are there, and still the same."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for n in range(1, 8):
        shutil.copy(scans / "day0" / f"scan{n:03}.tif", folder)
    archive = shutil.make_archive(str(tmp_path / "archive"), form, folder)
    candidate = write_model(tmp_path / "candidate.onnx", "parcel", version="9", thresholds={"0.01": 0.0})
    place, page = tmp_path / "ledger", tmp_path / "changed.html"
    assert run_rescore(archive, "--ledger", place).returncode == 0
    assert run_rescore(archive, "--ledger", place, "--shadow", model=candidate).returncode == 0
    shutil.copy(scans / "day0" / "scan009.tif", folder / "scan001.tif")
    archive = shutil.make_archive(str(tmp_path / "archive"), form, folder)
    run = leadline("compare-ledgers", place, "--shadow", "--html", page)
    assert run.returncode == 0, run.stderr
    text = page.read_text("utf-8")
    assert text.count("<article>") == 6
    assert text.count("data:image/png;base64,") == pictures


def test_ctrl_c_on_a_cluster(scans: Path, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heeded from result to result, not only where a round of twenty thousand ends."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "60")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    from leadline.inference.rescore.cluster import Cluster

    job = Job(Settings(scanner="parcel"), models["parcel"], None, "verdict", "0" * 64, "run")
    done: list[Path] = []
    try:
        cluster = Cluster(job, None, 1, lambda: len(done) >= 3, batch_size=2)
    except LeadlineError as error:
        pytest.skip(f"Ray does not start here: {error}")
    try:
        for item, result in cluster.run(sources.items(str(scans))):
            assert result.outcome == "done"
            done.append(Path(item.place))
    finally:
        cluster.close()
    assert [path.name for path in done] == ["scan000.tif", "scan001.tif", "scan002.tif"]
