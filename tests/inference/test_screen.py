"""`leadline screen` as users meet it: the real command, real files, a real model."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from leadline.datasets.formats import write_scan
from leadline.datasets.scan import Declaration, Scan
from leadline.inference.cli import main

Picture = Callable[..., Scan]
Models = dict[str, Path]
DENSE = (32, 20, 72, 60, 3.0)
KEYS = [
    "path", "sha256", "verdict", "score", "threshold", "materials", "regions", "reasons", "quality", "declared",
    "model", "provider", "elapsed_ms",
]  # fmt: skip


def screen(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(main, ["screen", *map(str, arguments)], **options)


def lines(done: Result) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """A clear parcel, one with dense powder, and one behind lead."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_scan(picture(), folder / "clear.tif")
    write_scan(picture(boxes=((20, 10, 100, 80, 0.5), DENSE)), folder / "dense.tif")
    write_scan(picture(boxes=((20, 10, 100, 80, 0.5), (30, 20, 70, 60, 20))), folder / "lead box.tif")
    return folder


@pytest.fixture
def manifest(folder: Path) -> Path:
    path = folder.parent / "manifest.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "hs_code", "description"])
        writer.writerow(["scans/clear.tif", "392640", "plastic figures"])
        writer.writerow(["scans/dense.tif", "284610", "cerium oxide"])
        writer.writerow(["scans/lead box.tif", "780199", "lead"])
    return path


class TestJson:
    def test_one_line_a_scan_and_nothing_else(self, folder: Path, models: Models) -> None:
        done = screen(folder, "--json", "--model", models["parcel"])
        assert done.exit_code == 0
        found = lines(done)
        assert [list(line) for line in found] == [KEYS] * 3
        assert [line["verdict"] for line in found] == ["clear", "inspect", "inspect"]
        assert "3 scans" in done.stderr

    def test_types_and_ranges(self, folder: Path, models: Models) -> None:
        for line in lines(screen(folder, "--json", "--model", models["parcel"])):
            assert Path(line["path"]).is_file()
            assert len(line["sha256"]) == 64
            assert 0 <= line["score"] <= 1
            assert line["threshold"] == 0.7
            probabilities = [m["probability"] for m in line["materials"]]
            assert probabilities == sorted(probabilities, reverse=True)
            assert len(probabilities) == 10
            for region in line["regions"]:
                x0, y0, x1, y1 = region["box"]
                assert 0 <= x0 < x1 <= 128
                assert 0 <= y0 < y1 <= 96
                assert 0 < region["mass_kg"][0] <= region["mass_kg"][1]
            assert line["reasons"]
            assert all(isinstance(reason, str) and reason.endswith(".") for reason in line["reasons"])
            assert 0 <= line["quality"]["unpenetrated_fraction"] <= 1
            assert line["declared"] is None
            assert line["model"]["name"] == "dense-parcel"
            assert line["model"]["version"] == "1.2.3"
            assert len(line["model"]["sha256"]) == 64
            assert line["provider"] == "CPUExecutionProvider"
            assert line["elapsed_ms"] > 0

    def test_the_place_and_the_mass(self, folder: Path, models: Models) -> None:
        """40 x 40 pixels of 1.5 mm at 5 g/cm2 for each unit of -ln T = 3.5: 630 g, within a factor of 0.5 to 2."""
        line = lines(screen(folder / "dense.tif", "--json", "--model", models["parcel"]))[0]
        (region,) = line["regions"]
        assert region["family"] == "rare_earth_oxide"
        assert region["box"] == [32, 20, 72, 60]
        low, high = region["mass_kg"]
        assert low == pytest.approx(0.63 * 0.5, rel=0.1)
        assert high == pytest.approx(0.63 * 2, rel=0.1)

    def test_the_declaration_changes_the_verdict(self, folder: Path, manifest: Path, models: Models) -> None:
        done = screen(folder, "--json", "--model", models["parcel"], "--manifest", manifest)
        found = lines(done)
        assert [line["verdict"] for line in found] == ["clear", "clear", "clear"]
        assert found[1]["declared"] == {"hs_code": "284610", "description": "cerium oxide"}
        assert found[1]["score"] == 0
        assert "lead" in " ".join(found[2]["reasons"])
        assert found[2]["quality"]["unpenetrated"]

    def test_threshold(self, folder: Path, models: Models) -> None:
        done = screen(folder, "--json", "--model", models["parcel"], "--threshold", "0")
        assert [line["verdict"] for line in lines(done)] == ["inspect"] * 3
        done = screen(folder, "--json", "--model", models["parcel"], "--false-alarm-rate", "0.004")
        assert {line["threshold"] for line in lines(done)} == {0.8}

    def test_pairs_and_copies(self, tmp_path: Path, picture: Picture, models: Models) -> None:
        """Both halves of a pair are one scan; one path twice is one scan."""
        for name, channel in zip(("high", "low"), picture().transmission, strict=True):
            pixels = (np.clip(channel, 0, 1) * 65535).astype(np.uint16)
            cv2.imwrite(str(tmp_path / f"x_{name}.png"), pixels)
        done = screen(tmp_path, tmp_path / "x_low.png", "--json", "--model", models["parcel"])
        assert len(lines(done)) == 1

    def test_names_in_any_encoding(self, tmp_path: Path, picture: Picture, models: Models) -> None:
        write_scan(picture(), tmp_path / "瓷砖.tif")
        name = os.fsdecode(b"b\xff.tif")
        write_scan(picture(), tmp_path / name)
        done = screen(tmp_path, "--json", "--model", models["parcel"], "--overlays", tmp_path / "out")
        assert {Path(line["path"]).name for line in lines(done)} == {"瓷砖.tif", name}
        code = "from leadline.inference.cli import main; main(prog_name='leadline')"
        for encoding in ("utf-8", "ascii"):
            environment = os.environ | {"PYTHONIOENCODING": encoding}
            command = [sys.executable, "-c", code, "screen", tmp_path, "--model", models["parcel"]]
            told = subprocess.run(command, capture_output=True, env=environment)
            assert told.returncode == 0, told.stderr
            assert told.stdout.count(b"clear") == 2

    def test_names_cannot_write_on_the_terminal(self, tmp_path: Path) -> None:
        path = tmp_path / "a\x1b[31mb\nclear 0.000.tif"
        path.write_text("not a scan")
        done = screen(path, "--scanner", "parcel")
        assert "\x1b" not in done.output
        assert len(done.stdout.splitlines()) == 1


class TestForPeople:
    def test_plain_lines_in_a_pipe(self, folder: Path, models: Models) -> None:
        done = screen(folder, "--model", models["parcel"])
        words = [line.split()[0] for line in done.stdout.splitlines()]
        assert words == ["clear", "inspect", "inspect"]
        assert "rare-earth oxide" in done.stdout
        assert "\x1b" not in done.output

    def test_quiet(self, folder: Path, models: Models) -> None:
        assert screen(folder, "--model", models["parcel"], "--quiet").stderr == ""

    def test_a_table_on_a_terminal(self, folder: Path, manifest: Path, models: Models, tmp_path: Path) -> None:
        done, shown = on_terminal(folder, "--model", models["parcel"], "--manifest", manifest, "--overlays", tmp_path)
        assert done == 0
        for word in ("● clear", "score", "cerium oxide", "lead box.tif", "3 scans in"):
            assert word in shown
        assert "Traceback" not in shown

    def test_overlays(self, folder: Path, models: Models, tmp_path: Path, picture: Picture) -> None:
        other = tmp_path / "other"
        other.mkdir()
        write_scan(picture(seed=5), other / "clear.tif")
        album = tmp_path / "deep" / "album"
        for _ in range(2):  # the same names the second time
            done = screen(folder, other, "--model", models["parcel"], "--overlays", album)
            assert done.exit_code == 0
            names = sorted(p.name for p in album.iterdir())
            assert len(names) == 4
            assert [name.partition("-")[0] for name in names] == ["clear", "clear", "dense", "lead box"]
        for path in album.iterdir():
            assert cv2.imread(str(path)).shape[1] >= 760


def on_terminal(*arguments: object) -> tuple[int, str]:
    """The command on a pseudo-terminal: exit code, and all that a person saw."""
    import pty

    code = "from leadline.inference.cli import main; main(prog_name='leadline')"
    shown = bytearray()

    child, fd = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.environ["COLUMNS"] = "160"
        os.execv(sys.executable, [sys.executable, "-c", code, "screen", *map(str, arguments)])
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:  # the terminal closes with the program
            break
        if not data:
            break
        shown.extend(data)
    _, status = os.waitpid(child, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode()


def tiff(path: Path, values: np.ndarray, **options: Any) -> None:
    tifffile.imwrite(path, values, photometric="minisblack", **options)


def bad_files(folder: Path, picture: Picture) -> None:
    """Every bad input that was thought of, one file each."""
    good = folder / "good.tif"
    write_scan(picture(), good)
    data = good.read_bytes()
    (folder / "empty.tif").write_bytes(b"")
    (folder / "truncated.tif").write_bytes(data[: len(data) // 2])
    (folder / "cut header.tif").write_bytes(data[:6])
    (folder / "text.tif").write_text("not a scan\n" * 50)
    pages = np.full((3, 64, 64), 30000, np.uint16)
    pages += np.arange(64, dtype=np.uint16)
    tiff(folder / "three pages.tif", pages)
    tiff(folder / "one pixel.tif", np.full((2, 1, 1), 30000, np.uint16))
    tiff(folder / "zero.tif", np.zeros((2, 64, 64), np.uint16))
    tiff(folder / "open beam.tif", np.full((2, 64, 64), 65535, np.uint16))
    not_a_number = picture().transmission.copy()
    not_a_number[0, 5, 5] = np.nan
    np.save(folder / "nan.npy", not_a_number)
    eight = (picture().transmission.clip(0, 1) * 255).astype(np.uint16)
    tiff(folder / "disguised.tif", eight * 257)
    header = bytearray(data)
    huge = tifffile.TiffFile(good)
    for tag in ("ImageWidth", "ImageLength"):
        offset = huge.pages.first.tags[tag].valueoffset
        header[offset : offset + 4] = (30000).to_bytes(4, "little")
    huge.close()
    (folder / "huge.tif").write_bytes(header)
    (folder / "folder.tif").mkdir()


class TestBadInput:
    def test_each_is_a_line_and_the_others_are_screened(self, tmp_path: Path, picture: Picture, models: Models) -> None:
        bad_files(tmp_path, picture)
        named = [*sorted(tmp_path.iterdir()), tmp_path / "missing.tif"]
        done = screen(*named, "--json", "--model", models["parcel"], "--scanner", "parcel")
        assert done.exit_code == 1
        found = {Path(line["path"]).name: line for line in lines(done)}
        assert found.pop("good.tif")["verdict"] == "clear"
        assert len(found) == 12
        for name, line in found.items():
            assert list(line) == ["path", "error"], name
            file, reason, remedy = line["path"], *line["error"].removeprefix(line["path"]).split("; ")[-2:]
            assert line["error"].startswith(file), line
            assert len(reason) > 8
            assert len(remedy) > 8
            assert "Traceback" not in line["error"]
        assert "12 could not be screened" in done.stderr

    def test_in_plain_words_too(self, tmp_path: Path, picture: Picture, models: Models) -> None:
        bad_files(tmp_path, picture)
        done = screen(tmp_path, "--model", models["parcel"], "--scanner", "parcel")
        assert done.exit_code == 1
        assert "error" in done.stdout
        assert "Traceback" not in done.output

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, folder: Path, models: Models) -> None:
        (folder / "clear.tif").chmod(0)
        done = screen(folder, "--json", "--model", models["parcel"])
        assert done.exit_code == 1
        assert "permission" in lines(done)[0]["error"]

    def test_an_unknown_scanner(self, tmp_path: Path, picture: Picture, models: Models, monkeypatch: Any) -> None:
        from leadline.models import contract

        monkeypatch.setattr(contract, "released", lambda kind: models[kind])
        np.save(tmp_path / "plain.npy", np.moveaxis(picture().transmission, 0, -1))
        done = screen(tmp_path, "--json")
        assert done.exit_code == 1
        assert "--scanner parcel" in lines(done)[0]["error"]
        done = screen(tmp_path, "--json", "--scanner", "parcel")
        assert done.exit_code == 0


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--threshold", "2"], "--threshold"),
            (["--threshold", "nan"], "'nan' is no finite number"),
            (["--threshold", "0.5", "--false-alarm-rate", "0.01"], "exclude each other"),
            (["--false-alarm-rate", "0.5"], "0.002, 0.004, 0.01, 0.05"),
            (["--provider", "tpu"], "--provider tpu"),
            (["--scanner", "suitcase"], "suitcase"),
            (["--model", "nowhere.onnx"], "nowhere.onnx"),
            (["--manifest", "nowhere.csv"], "nowhere.csv"),
            (["--overlays", "/dev/null/x"], "/dev/null/x"),
        ],
    )
    def test_options(self, folder: Path, models: Models, arguments: list[str], said: str) -> None:
        given = [] if "--model" in arguments else ["--model", models["parcel"]]
        done = screen(folder, "--json", *given, *arguments)
        assert done.exit_code == 2
        assert said in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr

    def test_a_folder_without_scans(self, tmp_path: Path, models: Models) -> None:
        done = screen(tmp_path, "--model", models["parcel"])
        assert done.exit_code == 2
        assert "no scans" in done.stderr

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("path,hs_code\nscans/clear.tif,392640\n", "description"),
            ("path,hs_code,description\nscans/clear.tif,39x,dolls\n", "39x"),
            ("path,hs_code,description\nscans/clear.tif,3926,a\nscans/clear.tif,3926,b\n", "line 3"),
            ("", "empty"),
        ],
    )
    def test_a_bad_manifest(self, folder: Path, models: Models, rows: str, said: str) -> None:
        path = folder.parent / "bad.csv"
        path.write_text(rows)
        done = screen(folder, "--json", "--model", models["parcel"], "--manifest", path)
        assert done.exit_code == 2
        assert "bad.csv" in done.stderr
        assert said in done.stderr
        assert done.stdout == ""

    def test_a_manifest_with_unknown_paths(self, folder: Path, manifest: Path, models: Models) -> None:
        """A wrong path is told and counts as a failure; a scan that was left out is only told."""
        with manifest.open("a") as stream:
            stream.write("scans/cleer.tif,3926,dolls\n")
        done = screen(folder / "clear.tif", "--json", "--model", models["parcel"], "--manifest", manifest)
        assert done.exit_code == 1
        assert "manifest.csv line 5: scans/cleer.tif does not exist" in done.stderr
        assert "2 of its scans were not among those named" in done.stderr
        assert [line["verdict"] for line in lines(done)] == ["clear"]

    def test_an_edited_model(self, folder: Path, models: Models, tmp_path: Path) -> None:
        from leadline.models import contract

        path = tmp_path / "model.onnx"
        path.write_bytes(models["parcel"].read_bytes())
        contract.write_sums(tmp_path)
        path.write_bytes(path.read_bytes() + b" ")
        done = screen(folder, "--model", path)
        assert done.exit_code == 2
        assert "model.onnx" in done.stderr


class TestProcess:
    def test_opens_no_connection(
        self, folder: Path, models: Models, tmp_path: Path, offline_run: Callable[..., Any]
    ) -> None:
        code = "from leadline.inference.cli import main; main(prog_name='leadline')"
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        done = offline_run(
            [sys.executable, "-c", code, "screen", folder, "--model", models["parcel"], "--overlays", tmp_path / "o"],
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 3

    def test_a_reader_that_leaves(self, folder: Path, models: Models) -> None:
        """`leadline screen ... | head -1` ends quietly."""
        code = "from leadline.inference.cli import main; main(prog_name='leadline')"
        command = [sys.executable, "-c", code, "screen", folder, "--json", "--model", models["parcel"]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.stderr is not None
            said = process.stderr.read().decode()
            process.wait(30)
        assert "Traceback" not in said
        assert "Exception" not in said

    def test_interrupted(self, tmp_path: Path, picture: Picture, models: Models) -> None:
        """Ctrl-C: whole lines, what was done, exit code 130."""
        for i in range(400):
            write_scan(picture(seed=i % 3), tmp_path / f"{i:03}.tif")
        code = "from leadline.inference.cli import main; main(prog_name='leadline')"
        command = [sys.executable, "-c", code, "screen", tmp_path, "--json", "--model", models["parcel"]]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a test run in the background of a shell ignores Ctrl-C, and its children would inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            # Not communicate(): it would lose the lines that readline has read ahead.
            rest, said = process.stdout.read(), process.stderr.read()
        assert process.returncode == 130
        printed = [json.loads(line) for line in (first + rest).splitlines()]
        assert f"interrupted: {len(printed)} of 400 files were screened" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("threads", [None, 1])
def test_order_is_kept_and_reading_is_bounded(
    threads: int | None, tmp_path: Path, picture: Picture, models: Models
) -> None:
    """With one thread an inference, several files are screened at once where there are cores for them."""
    from leadline.inference.cpu import available_cores
    from leadline.inference.engine import Engine
    from leadline.inference.screening import MOST_AT_ONCE, READ_AHEAD, Screened, Settings, screen_files

    files = [tmp_path / f"{i:02}.tif" for i in range(12)]
    for i, path in enumerate(files):
        write_scan(picture(seed=i), path)
    asked: list[Path] = []

    def goods(path: Path) -> Declaration:
        asked.append(path)
        return Declaration(description=path.stem)

    found = []
    engine = Engine(models["parcel"], threads=threads)
    at_once = min(MOST_AT_ONCE, available_cores() // engine.threads)
    for i, result in enumerate(screen_files(engine, files, Settings(), goods), 1):
        assert isinstance(result, Screened)
        time.sleep(0.002)
        assert len(asked) <= i + READ_AHEAD + at_once - 1
        found.append((result.path, result.scan.declaration))
    assert found == [(path, Declaration(description=path.stem)) for path in files]
