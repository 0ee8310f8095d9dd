"""The README's commands for researchers, in order: what they take is there, and those that fit nothing are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FITTING = {"train", "export", "evaluate", "compare", "quantise"}
"""Commands that take minutes: tests of their own run them on tiny networks."""

SMALLER = {"calibrate": ["--scenes", "50", "--quiet"]}


def lines() -> list[list[str]]:
    """The words of every command of the block under "For researchers"."""
    section = (ROOT / "README.md").read_text("utf-8").partition("## For researchers")[2]
    block = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_the_commands_take_what_is_there_or_what_those_before_have_made() -> None:
    made = {"try"}
    for words in lines():
        given = [w for w in words[2:] if "/" in w or re.search(r"\.(onnx|toml|json|tif|csv)$", w)]
        out = words[words.index("--out") + 1] if "--out" in words else None
        for name in given:
            if " " in name or name == out:
                continue  # energies such as "6/4 MV"
            there = (ROOT / name).exists() or any(name == m or name.startswith(f"{m}/") for m in made)
            assert there, f"{name} of {words}: no command before it makes that"
        made |= {out} if out else set()
    assert {"quick.onnx", "gate4.json", "runs/quick"} <= made


@pytest.mark.slow
def test_the_commands_that_fit_nothing(tmp_path: Path) -> None:
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    ran = set()
    for words in lines():
        program, name, *rest = words
        if name in FITTING:
            continue
        if program == "python":
            command = [sys.executable, name, *rest]
        else:
            command = [str(Path(sys.executable).with_name("leadline")), name, *rest, *SMALLER.get(name, [])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr and "Warning" not in done.stderr
        ran.add(name)
    assert ran == {"scripts/make_inputs.py", "datasets", "limits", "calibrate", "project", "palette"}
    written = {"gate4.json", "trained.tif", "trained.json", "vendor.json", "limits"}
    assert written <= {p.name for p in tmp_path.iterdir()}
