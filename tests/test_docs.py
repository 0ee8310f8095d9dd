"""The docs against the project: links, commands, options, scripts and figures that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from leadline.datasets.physics import detectors
from leadline.datasets.physics.attenuation import mass_attenuation
from leadline.datasets.physics.detectors import Response, dual_layer
from leadline.datasets.physics.forward import transmission
from leadline.inference.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(p for top in ("docs", "examples", "models") for p in (ROOT / top).rglob("*.md"))])
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
COMMANDS = main.list_commands(click.Context(main))


def command(name: str) -> click.Command:
    """A command of the command line; the test is skipped where its extra is not installed."""
    try:
        found = main.get_command(click.Context(main), name)
    except click.ClickException as error:
        pytest.skip(error.message)
    assert found is not None
    return found


def options(name: str) -> set[str]:
    """Every spelling of every option of a command and of its subcommands."""
    found = command(name)
    parts = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    spelled = {
        o for part in parts for p in part.params if isinstance(p, click.Option) for o in (*p.opts, *p.secondary_opts)
    }
    return spelled | {"--help", "-h"}


def fences(text: str) -> Iterator[str]:
    """The lines of all fenced code blocks."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()


def invocations(page: Path) -> Iterator[list[str]]:
    """Arguments of every `leadline ...` in a page's code blocks and code spans, as far as the shell's syntax goes."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in (*fences(text), *spans):
        words = re.split(r"\s[|>&;#]|\s{2,}", line.strip().removeprefix("$ "))[0]
        if re.match(r"(\.venv(-dev)?/bin/)?leadline\s+[a-z-]", words) and "..." not in words:
            yield shlex.split(words)[1:]


def anchors(page: Path) -> set[str]:
    """Link targets inside a page, as GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
        elif not path.is_relative_to(ROOT):
            broken.append(f"{target} (outside the project)")
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_documented_commands_and_options_exist(page: Path) -> None:
    wrong = []
    for arguments in invocations(page):
        name = arguments[0]
        if name.startswith("-"):
            known = {"--help", "-h", "--version"}
        elif name in COMMANDS:
            known = options(name)
        elif name.isupper():  # leadline COMMAND --help
            continue
        else:
            wrong.append(" ".join(arguments))
            continue
        wrong += [f"{name} {o}" for o in arguments if re.match(r"--?[a-z]", o) and o.partition("=")[0] not in known]
    assert not wrong


def section(name: str) -> str:
    """The part of the commands page under a command's heading."""
    parts = re.split(r"^## leadline (\S+)$", COMMANDS_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    text = section(name)
    assert text, f"docs/commands.md has no section 'leadline {name}'"
    assert any(arguments[:1] == [name] for arguments in invocations(COMMANDS_PAGE)), "no example"
    documented = set(re.findall(r"`(--[a-z][a-z0-9-]*)", text))
    declared = {o for o in options(name) if o.startswith("--")} - {"--help"}
    assert documented == declared


def test_the_commands_page_has_no_section_too_many() -> None:
    headings = re.findall(r"^## leadline (\S+)$", COMMANDS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(name: str) -> None:
    found = command(name)
    assert f"leadline {name} " in found.get_help(click.Context(found, info_name=name))


def test_scripts_that_the_docs_name_exist() -> None:
    named = {
        (page.relative_to(ROOT).as_posix(), name)
        for page in PAGES
        for name in re.findall(r"(?<![\w/.-])scripts/[\w./-]*\w", page.read_text(encoding="utf-8"))
    }
    assert [pair for pair in named if not (ROOT / pair[1]).exists()] == []
    assert any(name == "scripts/run" for _, name in named)


def test_every_page_of_the_docs_is_reachable_from_the_index() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        targets = [(page.parent / link).resolve() for link in links if "://" not in link]
        waiting += [target for target in targets if target.exists() and target not in seen]
    assert [str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md") if p not in seen] == []


def test_physics_that_the_readme_states() -> None:
    lead, antimony = {"Pb": 1.0}, {"Sb": 1.0}
    tube, linac = dual_layer(160, {}), detectors.linac(6, 4, {}, {})

    def log_transmission(response: Response, composition: dict[str, float], areal: np.ndarray) -> np.ndarray:
        attenuation = mass_attenuation(composition, response.energies)[None].astype(np.float32)
        return -np.log(transmission(areal[None], attenuation, response))

    two, four = np.exp(-log_transmission(tube, lead, np.array([0.2, 0.4]) * 11.34)[0])
    assert 0.001 < two < 0.003  # "2 mm of lead lets about 0.2 % of the beam through"
    assert 0.5e-5 < four < 2e-5  # "4 mm a thousandth of a per cent"
    areal = np.linspace(20, 60, 401)
    lead_6, lead_4 = log_transmission(linac, lead, areal)
    antimony_6, antimony_4 = log_transmission(linac, antimony, areal)
    difference = np.interp(2.0, lead_6, lead_4) - np.interp(2.0, antimony_6, antimony_4)
    assert abs(difference) < 0.01  # "at equal 6 MV attenuation -ln T(4 MV) differs by less than 0.01"
