"""Sources: archives with hostile names, lists, manifests, an S3 server; what the worker makes of them."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from leadline.datasets.scan import Declaration, LeadlineError
from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Item, Job, Result, job_identity
from leadline.inference.rescore.lists import read_list
from leadline.inference.rescore.manifest import Manifest
from leadline.inference.rescore.pipeline import Ceiling, Tally
from leadline.inference.rescore.progress import Progress
from leadline.inference.rescore.stores import public
from leadline.inference.rescore.worker import Worker
from leadline.inference.screening import Settings


@pytest.fixture(scope="module")
def job(models: dict[str, Path]) -> Job:
    settings = Settings(scanner="parcel")
    return Job(settings, models["parcel"], None, "verdict", job_identity(settings, models["parcel"], "verdict"), "run")


@pytest.fixture(scope="module")
def worker(job: Job) -> Iterator[Worker]:
    worker = Worker(job)
    yield worker
    worker.close()


def screened(worker: Worker, source: object) -> list[tuple[Item, Result]]:
    found = list(sources.items(str(source)))
    return list(zip(found, worker.run(found), strict=True))


def contents(scans: Path, count: int = 3) -> list[bytes]:
    return [(scans / "day0" / f"scan{n:03}.tif").read_bytes() for n in range(count)]


HOSTILE = [
    "../../escaped.tif",
    "/tmp/absolute.tif",
    "C:\\windows\\x.tif",
    "a\nb\x1b[31m.tif",
    "x/../../../y.tif",
    "货物.tif",
]


class TestArchives:
    @pytest.fixture(params=[".tar", ".tar.gz", ".zip"])
    def archive(self, request: pytest.FixtureRequest, tmp_path: Path, scans: Path) -> Path:
        """Hostile names, links, a pair, an ordinary picture, a broken scan, something else."""
        path = tmp_path / "in" / f"archive{request.param}"
        path.parent.mkdir()
        members = dict(zip(HOSTILE, contents(scans, len(HOSTILE)), strict=True))
        for half, value in (("low", 20000), ("high", 30000)):
            pixels = np.full((64, 64), value, np.uint16)
            pixels[0, 0] = 65535
            members[f"pairs/p_{half}.png"] = cv2.imencode(".png", pixels)[1].tobytes()
        members["photo.png"] = cv2.imencode(".png", np.zeros((50, 50), np.uint8))[1].tobytes()
        members["broken.tif"] = b"II*\0 nonsense"
        members["notes.txt"] = b"no scan"
        if request.param == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in members.items():
                    archive.writestr(name, data)
        else:
            with tarfile.open(path, "w:gz" if "gz" in request.param else "w") as archive_:
                for name, data in members.items():
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime = len(data), 1_790_000_000
                    archive_.addfile(info, io.BytesIO(data))
                link = tarfile.TarInfo("link.tif")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive_.addfile(link)
        return path

    def test_members_are_read_and_nothing_is_unpacked(self, archive: Path, worker: Worker, tmp_path: Path) -> None:
        before = sorted(tmp_path.rglob("*"))
        found = screened(worker, archive)
        by_name = {item.place.partition("!")[2]: result for item, result in found}
        good = [*HOSTILE, "pairs/p_high.png"]
        assert {n for n, r in by_name.items() if r.outcome == "done"} == set(good)
        assert by_name["photo.png"].outcome == "skipped"
        assert by_name["broken.tif"].outcome == "failed"
        assert set(by_name) == {*good, "photo.png", "broken.tif"}
        assert sorted(tmp_path.rglob("*")) == before
        assert not Path("/tmp/absolute.tif").exists()
        event = by_name["货物.tif"].event
        assert event is not None and event.body["path"] == f"{archive}!货物.tif"
        assert str(archive) in (by_name["broken.tif"].error or "")
        assert "/leadline-" not in (by_name["broken.tif"].error or "")  # nothing of the folder it was unpacked to

    def test_a_member_is_the_same_scan_as_the_file(self, archive: Path, worker: Worker, scans: Path) -> None:
        (inside,) = (r for i, r in screened(worker, archive) if i.place.endswith("escaped.tif"))
        (outside,) = (r for _, r in screened(worker, scans / "day0" / "scan000.tif"))
        assert inside.event is not None and outside.event is not None
        assert inside.event.key == outside.event.key
        assert inside.event.body["score"] == outside.event.body["score"]

    def test_a_cut_archive(self, archive: Path, worker: Worker) -> None:
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        found = screened(worker, archive)
        assert "damaged" in (found[-1][1].error or "") or "ends early" in str([r.error for _, r in found])

    def test_a_member_that_unpacks_to_more_than_it_says(self, tmp_path: Path, worker: Worker) -> None:
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.tif", bytes(3_000_000))
        data = path.read_bytes().replace((3_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
        path.write_bytes(data)
        ((_, result),) = screened(worker, path)
        assert result.outcome == "failed"

    def test_an_archive_that_is_none(self, tmp_path: Path, worker: Worker) -> None:
        for name in ("a.tar", "a.tgz", "a.zip"):
            (tmp_path / name).write_bytes(b"no archive" * 100)
            ((_, result),) = screened(worker, tmp_path / name)
            assert "damaged" in (result.error or "")
        with pytest.raises(LeadlineError, match="does not exist"):
            list(sources.items(str(tmp_path / "absent.tar")))


class TestLists:
    def test_a_list_that_begins_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        """As editors of Windows write it."""
        (tmp_path / "list.txt").write_text("\ufeffa.tif\nb.tif\n", encoding="utf-8")
        assert [Path(item.place).name for item in sources.items(str(tmp_path / "list.txt"))] == ["a.tif", "b.tif"]

    def test_a_list_in_any_encoding(self, tmp_path: Path, scans: Path, worker: Worker) -> None:
        odd = os.fsencode(tmp_path) + b"/\xb9\xfe\xd7.tif"
        shutil.copy(scans / "day0" / "scan000.tif", odd)
        (tmp_path / "list.txt").write_bytes(
            b"\xb9\xfe\xd7.tif\r\n\n" + os.fsencode(scans) + b"/day0/scan001.tif\nabsent.tif\n"
        )
        outcomes = [(os.fsencode(i.place)[-12:], r.outcome) for i, r in screened(worker, tmp_path / "list.txt")]
        assert [o for _, o in outcomes] == ["done", "done", "failed"]

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_a_manifest_as_source(self, ending: str, tmp_path: Path, scans: Path, worker: Worker) -> None:
        path = tmp_path / f"goods.{ending}"
        rows = [
            {"Path": f"{scans}/day0/scan000.tif", "hs_code": "2846.90", "description": "oxide", "date": "2026-03-05"},
            {"Path": f"{scans}/day0/scan001.tif", "hs_code": "", "description": "", "date": ""},
        ]
        write_table(path, rows)
        (first, with_goods), (second, without) = screened(worker, path)
        assert first.declaration == Declaration("284690", "oxide")
        assert first.taken == "2026-03-05"
        assert second.declaration is None
        assert with_goods.word == "clear"  # what was declared is no news
        assert with_goods.event is not None and with_goods.event.body["declared"]["hs_code"] == "284690"
        assert without.outcome == "done"

    def test_the_manifest_counts_by_real_path_url_and_member(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "sub")
        rows = ["path,hs_code,description", "sub/a.tif,3816,x", "s3://b/k.tif,,y", "m/n.tif,,z", "t.tar!q.tif,,w"]
        (tmp_path / "goods.csv").write_text("\ufeff" + "\n".join(rows))
        with Manifest(str(tmp_path / "goods.csv")) as manifest:
            by = {
                "x": manifest.find("link/a.tif", str(tmp_path / "link" / "a.tif")),
                "y": manifest.find("s3://b/k.tif"),
                "z": manifest.find("any.tar!m/n.tif"),
                "w": manifest.find("t.tar!q.tif"),
            }
            for said, line in by.items():
                assert line is not None and line.declaration is not None and line.declaration.description == said
            assert manifest.find("elsewhere", "/elsewhere") is None

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("path,hs_code\na,1", "no column description"),
            ("file\na", "no column path or hs_code or description"),
            ("path,hs_code,description\na.tif,3816,x\n./a.tif,,y\n", "line 3: names ./a.tif again, as line 2"),
            ("path,hs_code,description\n,3816,x\n", "line 2: names no scan"),
            ("path,hs_code,description\na,x12,x\n", "line 2: HS code"),
            ("path,hs_code,description\na,3816,x,y\n", "line 2: has more cells"),
            ("path,path,hs_code,description\na,a,3816,x\n", "path twice"),
            ('path,hs_code,description\na,3816,"x\n', "is no CSV"),
        ],
    )
    def test_wrong_manifests(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "goods.csv").write_text(text)
        with pytest.raises(LeadlineError, match="goods.csv.*" + said):
            Manifest(str(tmp_path / "goods.csv"))

    def test_unreadable_manifests(self, tmp_path: Path) -> None:
        (tmp_path / "latin.csv").write_bytes("path,hs_code,description\nä,,ö".encode("latin1"))
        (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
        for name, said in [("latin.csv", "UTF-8"), ("bad.parquet", "Parquet"), ("absent.csv", "cannot be read")]:
            with pytest.raises(LeadlineError, match=said):
                Manifest(str(tmp_path / name))
        write_table(tmp_path / "columns.parquet", [{"file": "x"}])
        with pytest.raises(LeadlineError, match="no column path"):
            list(read_list(str(tmp_path / "columns.parquet")))


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)


class TestObjectStore:
    """A real S3-compatible server, spoken to over a socket."""

    @pytest.fixture(scope="class")
    @classmethod
    def bucket(cls, scans: Path) -> Iterator[str]:
        server_module = pytest.importorskip("moto.server")
        pytest.importorskip("s3fs")
        import boto3

        server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch = pytest.MonkeyPatch()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        patch.delenv("AWS_CA_BUNDLE", raising=False)
        client = boto3.client("s3")
        client.create_bucket(Bucket="cargo")
        for n, data in enumerate(contents(scans, 4)):
            client.put_object(Bucket="cargo", Key=f"2026/{n % 2}/scan {n}#货.tif", Body=data)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("inside.tif", contents(scans)[0])
        client.put_object(Bucket="cargo", Key="old.zip", Body=stream.getvalue())
        client.put_object(Bucket="cargo", Key="2026/readme.md", Body=b"no scan")
        client.put_object(Bucket="cargo", Key="2026/broken.tif", Body=b"II*\0")
        yield "s3://cargo"
        patch.undo()
        server.stop()

    def test_a_prefix(self, bucket: str, worker: Worker) -> None:
        found = screened(worker, f"{bucket}/2026")
        assert [r.outcome for _, r in found] == ["failed", "done", "done", "done", "done"]
        assert found[1][0].place == "s3://cargo/2026/0/scan 0#货.tif"
        assert all(item.stamp and item.taken for item, _ in found)

    def test_one_object_an_archive_and_a_list(self, bucket: str, worker: Worker, tmp_path: Path) -> None:
        ((_, one),) = screened(worker, f"{bucket}/2026/0/scan 0#货.tif")
        ((_, inside),) = screened(worker, f"{bucket}/old.zip")
        assert one.event is not None and inside.event is not None
        assert one.event.key == inside.event.key
        (tmp_path / "list.txt").write_text(f"{bucket}/2026/1/scan 1#货.tif\n{bucket}/absent.tif\n")
        assert [r.outcome for _, r in screened(worker, tmp_path / "list.txt")] == ["done", "failed"]

    def test_an_object_that_vanishes(self, bucket: str, worker: Worker) -> None:
        import boto3

        client = boto3.client("s3")
        client.put_object(Bucket="cargo", Key="gone/x.tif", Body=b"x")
        found = list(sources.items(f"{bucket}/gone"))
        client.delete_object(Bucket="cargo", Key="gone/x.tif")
        (result,) = worker.run(found)
        assert "does not exist any more" in (result.error or "")
        assert result.seen is None  # tried again by the next run

    def test_what_is_not_there(self, bucket: str) -> None:
        for name in ("absent", "absent.zip", "absent.tar.gz"):
            with pytest.raises(LeadlineError, match=f"s3://cargo/{name}: does not exist"):
                list(sources.items(f"{bucket}/{name}"))
        for url in ("nosuch://x/y", "ftp://x/y", "github://x/y.zip", "zip://x", "zip://x/l.csv"):
            with pytest.raises(LeadlineError, match=f"{url.partition(':')[0]}://: .*; give a folder"):
                list(sources.items(url))

    def test_an_archive_that_was_replaced(self, bucket: str, scans: Path, tmp_path: Path, run_rescore: Any) -> None:
        """The real command: read again once its tag is another, and only then."""
        import boto3

        client = boto3.client("s3")
        said = []
        for data in (contents(scans)[0], contents(scans)[0], contents(scans)[1]):
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr(zipfile.ZipInfo("scan.tif", (2026, 3, 5, 0, 0, 0)), data)
            client.put_object(Bucket="cargo", Key="replaced/a.zip", Body=stream.getvalue())
            run = run_rescore(f"{bucket}/replaced", "--ledger", tmp_path / "ledger")  # found in a prefix
            assert run.returncode == 0, run.stderr
            said.append(run.stderr)
        assert ["1 scans in" in text for text in said] == [True, False, True]
        assert "1 done in an earlier run" in said[1]

    def test_stamps_of_archives(self, bucket: str, tmp_path: Path, scans: Path) -> None:
        (item,) = sources.items(f"{bucket}/old.zip")
        assert len(item.stamp) > 20
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("inside.tif", contents(scans)[0])
        (before,) = sources.items(f"file://{tmp_path}/a.zip")
        os.utime(tmp_path / "a.zip", (1, 1))
        (after,) = sources.items(f"file://{tmp_path}/a.zip")
        assert before.stamp and after.stamp and before.stamp != after.stamp

    @pytest.mark.parametrize("name", ["x.zip", "l.csv", "prefix"])
    def test_without_credentials(self, name: str, bucket: str, tmp_path: Path, run_rescore: Any) -> None:
        wanted = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        wanted |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
        run = run_rescore(f"{bucket}/{name}", "--ledger", tmp_path / "ledger", env=wanted | {"HOME": str(tmp_path)})
        assert run.returncode == 2, run.stderr
        assert "Traceback" not in run.stderr
        assert "redentials" in run.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bob:X@host/a b.tif", "http://host/a b.tif"),
        ("https://token@host:8080/a.tif?x=1", "https://host:8080/a.tif?x=1"),
        ("https://h/a.tif?X-Amz-Date=1&X-Amz-Signature=2", "https://h/a.tif"),
        ("https://h/a.tif?versionId=7&sig=X&sp=r&n=1", "https://h/a.tif?versionId=7&n=1"),
        ("https://h/a.tif?st=5&n=1", "https://h/a.tif?st=5&n=1"),
        ("sftp://bob:X@host/a.tif", "sftp://host/a.tif"),
        ("abfs://container@account.dfs.core.windows.net/a.tif", "abfs://container@account.dfs.core.windows.net/a.tif"),
        ("s3://cargo/2026/a?sig=1@b#货.tif", "s3://cargo/2026/a?sig=1@b#货.tif"),
        ("gone (http://bob:X@host/a.tif?sig=X)", "gone (http://host/a.tif"),
    ],
)
def test_no_secrets_of_urls_are_recorded(url: str, shown: str) -> None:
    assert public(url).startswith(shown)
    assert "X" not in public(url)
    if url.startswith(("http", "s3")):
        item = sources._object(url, {"size": 7, "ETag": "t"})
        assert item.place == shown
        assert item.parts[0].container == url
        assert item.identity() == Item(shown).identity()


def test_a_prefix_that_may_not_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure of its own name, and what lies beside it is found; where nothing can be listed the run ends."""
    fsspec = pytest.importorskip("fsspec")
    fs = fsspec.filesystem("memory", skip_instance_cache=False, use_listings_cache=False)
    for name in ("closed/1.tif", "open/2.tif", "open/.hidden/3.tif", "open/deeper/4.tif"):
        fs.pipe(f"/bucket/{name}", b"x")
    real = type(fs).ls

    def ls(self: Any, path: str, *arguments: Any, **options: Any) -> Any:
        if "closed" in path:
            raise PermissionError("Access Denied")
        if "lost" in str(sorted(self.store)):
            raise TimeoutError("no answer")
        return real(self, path, *arguments, **options)

    monkeypatch.setattr(type(fs), "ls", ls)
    try:
        found = {item.place: item.error for item in sources.items("memory://bucket")}
        assert found == {
            "memory://bucket/closed": "is a folder that cannot be listed (Access Denied)",
            "memory://bucket/open/2.tif": None,
            "memory://bucket/open/deeper/4.tif": None,
        }
        with pytest.raises(LeadlineError, match="memory://bucket/closed: cannot be listed .Access Denied."):
            list(sources.items("memory://bucket/closed"))
        fs.pipe("/bucket/lost", b"x")
        with pytest.raises(LeadlineError, match="cannot be listed .no answer."):
            list(sources.items("memory://bucket"))
    finally:
        fs.rm("/bucket", recursive=True)


def test_links_to_a_folder_and_to_one_in_it(tmp_path: Path) -> None:
    """Whichever comes first: every scan is found, and none twice."""
    (tmp_path / "all" / "part" / "deep").mkdir(parents=True)
    for name in ("all/1.tif", "all/part/2.tif", "all/part/deep/3.tif"):
        (tmp_path / name).write_bytes(b"II*\0")
    for first, second in (("all", "all/part"), ("all/part", "all"), ("all/part/deep", "all")):
        source = tmp_path / f"in {first} {second}".replace("/", "-")
        source.mkdir()
        (source / "a").symlink_to(tmp_path / first)
        (source / "b").symlink_to(tmp_path / second)
        found = [os.path.realpath(item.place) for item in sources.items(str(source))]
        assert sorted(found) == [f"{tmp_path}/all/{name}" for name in ("1.tif", "part/2.tif", "part/deep/3.tif")]


def test_secrets_in_the_urls_of_lists_are_not_told() -> None:
    fs = pytest.importorskip("fsspec").filesystem("memory", skip_instance_cache=False, use_listings_cache=False)
    header = "path,hs_code,description\n"
    texts = {"columns.csv": "file\na\n", "code.csv": header + "a,x12,x\n", "twice.csv": header + "a,,x\na,,x\n"}
    try:
        for name, text in {**texts, "latin.csv": "path,hs_code,description\nä,,".encode("latin1")}.items():
            fs.pipe(f"/u:X9y@h/{name}", text if isinstance(text, bytes) else text.encode())
            with pytest.raises(LeadlineError, match=f"^memory://h/{name}"):
                Manifest(f"memory://u:X9y@h/{name}")
        fs.pipe("/u:X9y@h/bad.parquet", b"PAR1")
        with pytest.raises(LeadlineError, match=r"^memory://h/bad\.parquet"):
            list(read_list("memory://u:X9y@h/bad.parquet"))
        with pytest.raises(LeadlineError, match=r"^--manifest memory://h/goods\.xlsx"):
            Manifest("memory://u:X9y@h/goods.xlsx")
    finally:
        fs.rm("/u:X9y@h", recursive=True)


class TestWorker:
    def test_a_file_that_vanishes(self, scans: Path, worker: Worker, tmp_path: Path) -> None:
        shutil.copy(scans / "day0" / "scan000.tif", tmp_path / "a.tif")
        found = list(sources.items(str(tmp_path)))
        (tmp_path / "a.tif").unlink()
        (result,) = worker.run(found)
        assert "does not exist" in (result.error or "")
        assert result.seen is None

    def test_batches_give_the_same_bytes(self, scans: Path, job: Job, worker: Worker) -> None:
        found = list(sources.items(str(scans / "day0")))
        batched = Worker(replace(job, batch=4))
        for one, many in zip(worker.run(found), batched.run(found), strict=True):
            assert one.event is not None and many.event is not None
            assert one.event.body == many.event.body
        batched.close()

    def test_the_plan_is_measured(self, scans: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tune, "SECONDS", 0.3)  # in less a busy machine does not even start the threads
        found = list(sources.items(str(scans)))
        plan = tune.measured(job, found, tune.default(job, 2), fixed=True)
        assert plan.workers == 2
        assert plan.batch == 1
        assert plan.rates[0][1] > 0
        assert "2 workers" in str(plan)


@pytest.mark.parametrize(
    ("text", "failed", "screened", "reached"),
    [
        ("5%", 3, 46, False),
        ("5%", 3, 47, True),
        ("2", 2, 0, False),
        ("2", 3, 999, True),
        ("0", 1, 0, True),
        ("100%", 99, 0, False),
    ],
)
def test_the_ceiling(text: str, failed: int, screened: int, reached: bool) -> None:
    tally = Tally(failed=failed)
    tally.words["clear"] = screened
    assert Ceiling.parse(text).reached(tally) is reached


def test_a_share_is_judged_once_more_at_the_end(tmp_path: Path, run_rescore: Any) -> None:
    assert Ceiling(share=0.05).reached(Tally(failed=3), over=True)
    assert not Ceiling(share=0.05).reached(Tally(failed=1, known=99, known_failed=2), over=True)
    assert Ceiling(share=0.05).reached(Tally(failed=1, known=99, known_failed=5), over=True)
    for n in range(3):
        (tmp_path / f"a{n}.tif").write_bytes(b"II*\0" + bytes([n]) * 50)
    run = run_rescore(tmp_path, "--ledger", tmp_path / "ledger", "--limit-failures", "5%")
    assert run.returncode == 3, run.stderr
    assert "3 of 3 scans failed; the last:\n  " in run.stderr
    again = run_rescore(tmp_path, "--ledger", tmp_path / "ledger", "--limit-failures", "5%")
    assert again.returncode == 3, again.stderr
    assert "3 of 3 scans failed, all of them in earlier runs" in again.stderr  # and none is the last of this one


@pytest.mark.parametrize("source", ["ftp://host/x.zip", "zip://x"])
def test_a_url_that_cannot_be_read_here(source: str, tmp_path: Path, run_rescore: Any) -> None:
    run = run_rescore(source, "--ledger", tmp_path / "ledger")
    assert run.returncode == 2, run.stderr
    assert "give a folder, an archive, a list, or a URL like s3://" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_summary_tells_what_was_not_recorded() -> None:
    tally = Tally(failed=5, written=30)
    tally.words["clear"] = 65
    assert "40 of these scans not recorded" in Progress(tally, lambda: None, quiet=True).summary()
    tally.written = 70
    assert "not recorded" not in Progress(tally, lambda: None, quiet=True).summary()


def test_a_source_that_cannot_be_counted(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> int:
        raise TypeError("a store's own")

    progress = Progress(Tally(), broken, quiet=True)
    progress._count(broken)
    assert progress.total is None
    assert capfd.readouterr().err == ""
