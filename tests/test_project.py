"""The project as a whole: what a wheel carries, what the plain install needs, who imports whom, the two commands."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FOLDERS = ("datasets", "models", "training", "inference")
ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
EXTRAS = {
    extra: {Requirement(line).name for line in lines}
    for extra, lines in PROJECT["project"]["optional-dependencies"].items()
}
PLAIN = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}

# Who may import whom: module or package -> the modules and packages of leadline it may import besides itself.
ARROWS = {
    "datasets": (),
    "models": ("datasets",),
    "training": ("datasets", "models"),
    "inference": ("datasets", "models.contract"),
}
# Modules that the plain install must be able to import, as far as they exist.
SCREENING = (
    "datasets.scan",
    "datasets.materials",
    "datasets.declarations",
    "datasets.manifest",
    "datasets.formats",
    "datasets.public",
    "models.contract",
    "inference",
)
# Parts of inference/ that may use an extra as well. The plain install must still import those of the second table.
OPTIONAL = {
    "inference.ledger": ("cluster",),
    "inference.rescore": ("cluster",),
    "inference.station": ("station",),
}
NEED_THEIR_EXTRA = ("inference.station",)


def sources(folder: Path = ROOT) -> Iterator[Path]:
    """Every file of the four packages but notes for readers of the source, relative to `folder`."""
    for name in FOLDERS:
        for path in sorted((folder / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name != "README.md":
                yield path.relative_to(folder)


def module_name(path: Path) -> str:
    """`datasets/formats/tiff.py` -> `datasets.formats.tiff`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


MODULES = {module_name(path): ROOT / path for path in sources() if path.suffix == ".py"}


# --- what a wheel carries ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree so that no leftover of an earlier build slips in."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*pip, "--wheel-dir", out, tree], check=True, cwd=tree)
    (built,) = out.iterdir()
    return built


def test_the_wheel_carries_every_module_and_data_file(wheel: Path) -> None:
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert carried == {f"leadline/{path.as_posix()}" for path in sources()}


def test_the_wheel_claims_no_import_name_but_leadline(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"leadline", f"leadline-{PROJECT['project']['version']}.dist-info"}


def test_the_wheel_carries_its_licences(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for licence in ("LICENSE", "NOTICE"):
        assert any(name.endswith(f".dist-info/licenses/{licence}") for name in names)


# --- the plain install ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` folder of a fresh environment: the wheel, what it declares to need, and nothing else.

    The needed packages are linked from this environment by their own metadata rather than downloaded, so that the
    test needs no network; scripts/run, which CI runs first, installs them for real.
    """
    folder = tmp_path_factory.mktemp("plain") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in closure(PLAIN):
        for entry in {file.parts[0] for file in importlib.metadata.files(name) or () if file.parts[0] != ".."}:
            target = Path(str(importlib.metadata.distribution(name).locate_file(entry)))
            if target.exists() and not (site / entry).exists():
                (site / entry).symlink_to(target)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q"]
    subprocess.run([*pip, wheel], check=True)
    return folder / "bin"


@cache
def requirements(name: str) -> tuple[Requirement, ...]:
    """What an installed package needs without extras; nothing for one that is not installed."""
    try:
        found = [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(r for r in found if r.marker is None or r.marker.evaluate({"extra": ""}))


def closure(names: set[str]) -> set[str]:
    """`names` and all that they need, by the metadata of this environment."""
    found: set[str] = set()
    waiting = {str(canonicalize_name(name)) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= {str(canonicalize_name(requirement.name)) for requirement in requirements(name)} - found
    return found


def clean_environment() -> dict[str, str]:
    """This process's environment without what could help or hinder the program under test."""
    drop = ("PYTHON", "ORT_", "NO_ALBUMENTATIONS", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(drop)}


def test_the_plain_install_needs_neither_torch_nor_the_sources(plain: Path, tmp_path: Path) -> None:
    absent = ["torch", "torchvision", "lightning", "albumentations", "onnx", "scipy", *FOLDERS]
    code = f"import importlib.util as u; print([m for m in {absent} if u.find_spec(m)])"
    run = subprocess.run([plain / "python", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert run.stdout.strip() == "[]"


def test_the_plain_install_imports_all_that_screening_needs(plain: Path, tmp_path: Path, offline_run: Any) -> None:
    names = [f"leadline.{name}" for name in MODULES if within(name, SCREENING) and not within(name, tuple(OPTIONAL))]
    code = f"import importlib, leadline\nfor name in {names}: importlib.import_module(name)\nprint(*leadline.__path__)"
    run = offline_run([plain / "python", "-c", code], cwd=tmp_path, env=clean_environment())
    assert run.returncode == 0, run.stderr
    assert "site-packages" in run.stdout
    assert str(ROOT) not in run.stdout


def test_the_plain_install_answers_help(plain: Path, tmp_path: Path, offline_run: Any) -> None:
    run = offline_run([plain / "leadline", "--help"], cwd=tmp_path, env=clean_environment())
    assert run.returncode == 0, run.stderr
    assert "screen" in run.stdout


def test_the_plain_install_screens_the_examples_without_a_connection(
    plain: Path, tmp_path: Path, offline_run: Any
) -> None:
    examples = ROOT / "examples"
    command = [plain / "leadline", "screen", examples, "--manifest", examples / "manifest.csv", "--json"]
    run = offline_run([*command, "--overlays", tmp_path / "overlays"], cwd=tmp_path, env=clean_environment())
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert {line["verdict"] for line in lines} <= {"clear", "inspect", "rescan"}
    assert len(lines) == len((examples / "manifest.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert len(list((tmp_path / "overlays").iterdir())) >= len(lines)


# --- dependencies --------------------------------------------------------------------------------------------------


def test_constraints_pin_every_dependency_within_its_bounds() -> None:
    lines = [line for line in CONSTRAINTS if line and not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines), "a package is pinned twice"
    extras = PROJECT["project"]["optional-dependencies"]
    for line in [*PROJECT["project"]["dependencies"], *(line for extra in extras.values() for line in extra)]:
        requirement = Requirement(line)
        assert Version(pins[canonicalize_name(requirement.name)]) in requirement.specifier, line
    assert set(extras) == {"train", "station", "cluster", "gpu", "dev"}
    assert "opencv-python" not in pins  # cannot live beside the headless one


def test_constraints_hold_for_this_environment() -> None:
    """What runs these tests is what constraints.txt says."""
    plain = closure(PLAIN)
    for line in CONSTRAINTS:
        name, separator, version = line.partition("==")
        if separator and name in plain:
            assert Version(importlib.metadata.version(name)) == Version(version), name


def test_compromised_releases_are_excluded() -> None:
    (lightning,) = (r for r in PROJECT["project"]["optional-dependencies"]["train"] if r.startswith("lightning"))
    assert not {"2.6.2", "2.6.3"} & set(Requirement(lightning).specifier.filter(["2.6.1", "2.6.2", "2.6.3", "2.6.6"]))


# --- who imports whom ----------------------------------------------------------------------------------------------


def imports(path: Path, inside_functions: bool = True) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a module imports; `from a import b` gives `a.b`."""
    package = ["leadline", *path.relative_to(ROOT).parent.parts]
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *filter(None, [node.module])]
            yield from ((node.lineno, ".".join([*stem, alias.name])) for alias in node.names)
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("package", FOLDERS)
def test_arrows_point_one_way(package: str) -> None:
    allowed = (package, *ARROWS[package])
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for module, path in MODULES.items()
        if within(module, (package,))
        for line, name in imports(path)
        if name.startswith("leadline.") and not within(name.removeprefix("leadline."), allowed)
    ]
    assert not wrong


def test_screening_imports_only_the_plain_install() -> None:
    """inference/ anywhere in it; below it, functions that only training calls may import what training needs."""
    providers = importlib.metadata.packages_distributions()
    wrong = []
    for module, path in MODULES.items():
        if not within(module, SCREENING):
            continue
        allowed = {canonicalize_name(name) for name in PLAIN}
        for part, extras in OPTIONAL.items():
            if within(module, (part,)):
                allowed |= closure({name for extra in extras for name in EXTRAS[extra]})
        for line, name in imports(path, inside_functions=within(module, ("inference",))):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top == "leadline":
                continue
            if not allowed & {canonicalize_name(owner) for owner in (top, *providers.get(top, ()))}:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong


# --- the tree ------------------------------------------------------------------------------------------------------


def test_no_file_names_a_registry_or_a_private_folder() -> None:
    """Nothing, the released models included, tells of the machine where it was made."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("needs a git checkout")
    private = "|".join(f"/{top}/" for top in ("work", "root", "home", "Users", "opt")).encode()
    index = "|".join(
        ("pypi" + r"\.org/simple", "--(extra-)?index" + "-url", "--find" + "-links", "--trusted" + "-host")
    )
    pattern = re.compile(rb"(?<![\w.~}/-])(" + private + rb")\w|" + index.encode())
    hits = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and (match := pattern.search(path.read_bytes())):
            hits.append(f"{name}: {match.group().decode()}")
    assert not hits


# --- scripts/run and scripts/test ----------------------------------------------------------------------------------

PYTHON_STAND_IN = """#!/usr/bin/env bash
# Notes what is asked of it; makes environments and installs by hand, all else is the real Python.
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >>{log} ;;
    "-m pip "*) echo "$*" >>{log}
        printf '#!/bin/sh\\necho "leadline $*"\\n' >"$(dirname "$0")/leadline"
        chmod +x "$(dirname "$0")/leadline" ;;
    *) exec {python} "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree with the scripts and no environment, in a folder whose name has a space."""
    tree = tmp_path / "a tree"
    (tree / "scripts").mkdir(parents=True)
    for name in ("scripts/run", "scripts/test", "scripts/environment.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tree / name)
    return tree


@pytest.mark.parametrize("script", ["run", "test"])
def test_scripts_ask_for_a_python_that_is_new_enough(checkout: Path, script: str) -> None:
    environment = {**os.environ, "PYTHON": "/bin/false"}
    run = subprocess.run([checkout / "scripts" / script], env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    assert "no Python >= 3.11" in run.stderr
    assert not list(checkout.glob(".venv*"))


def test_scripts_say_how_much_room_is_missing(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\nprintf 'Filesystem 1024-blocks Used Available\\n/dev/a 9 9 3145728\\n'\n")
    (tools / "df").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    run = subprocess.run([checkout / "scripts" / "test"], env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    assert ".venv-dev needs 11 GB, and 3 GB are free" in run.stderr
    assert not list(checkout.glob(".venv*"))


def test_scripts_run_installs_once_and_again_when_the_pins_change(checkout: Path, tmp_path: Path) -> None:
    log, python = tmp_path / "log", tmp_path / "python"
    python.write_text(PYTHON_STAND_IN.format(log=log, python=sys.executable))
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python)}

    def run(*arguments: str) -> str:
        command = [checkout / "scripts" / "run", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True)
        return done.stdout

    assert "leadline screen examples --manifest examples/manifest.csv --overlays out/overlays" in run()
    assert "leadline screen my scan.tif --json\n" in run("my scan.tif", "--json")
    assert log.read_text().splitlines() == [
        "venv",
        f"-m pip install -qq --constraint {checkout}/constraints.txt --editable {checkout}",
    ]
    with (checkout / "constraints.txt").open("a") as constraints:
        constraints.write("# changed\n")
    assert "installing" in run()
    assert "installing" not in run()
    assert len(log.read_text().splitlines()) == 3


def test_what_scripts_run_made_has_no_torch() -> None:
    """Where scripts/run was used in this checkout, its environment stays small."""
    sites = list((ROOT / ".venv").glob("lib/python*/site-packages"))
    if not (ROOT / ".venv" / "leadline.stamp").exists():
        pytest.skip("scripts/run was not used here")
    assert [site for site in sites if (site / "numpy").exists()]
    assert not [site for site in sites if (site / "torch").exists()]
