"""A comparison of two models as a table and a page; and where its two sides come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadline.datasets.scan import FileError, LeadlineError
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract
from leadline.training import charts
from leadline.training.breakdown import HONEST_TOO, TITLES
from leadline.training.evaluate import ROWS, Evaluation
from leadline.training.measure import Row
from leadline.training.page import RATE_WORDS, render, set_words
from leadline.training.record import load
from leadline.training.report import percent

WHOM = {"all": "all threats", "allowed_by_physics": "threats that physics allows"}


@dataclass(frozen=True)
class Side:
    """One model with the scans that it measured.

    Attributes:
        name: of the model, with its version.
        sha256: of its file.
        contract: what it says of itself.
        rows: the scans.
        about: the set: split and seed, or the labels.
        set: the same with the number of scenes, for `page.set_words`.
    """

    name: str
    sha256: str
    contract: ModelContract
    rows: list[Row]
    about: dict[str, Any]
    set: dict[str, Any]


def side_of(found: Evaluation) -> Side:
    """An evaluation that was just made."""
    c = found.contract
    chosen = found.wanted.about()
    return Side(f"{c.name} {c.version}", found.sha256, c, found.rows, chosen, chosen | {"scenes": found.wanted.count()})


def side_from(folder: Path) -> Side:
    """A folder that `leadline evaluate` has written.

    Raises:
        FileError: it holds no evaluation.
    """
    path = folder / ROWS
    if not path.is_file():
        raise FileError(folder, f"holds no {ROWS}", "give a model file, or a folder of `leadline evaluate`")
    about, found = load(path)
    try:
        contract = ModelContract.from_json(about["contract"])
        chosen: dict[str, Any] = {key: about[key] for key in ("split", "seed", "data", "labels") if key in about}
        rows = [r for r in found if isinstance(r, Row)]
        scenes = len({r.index for r in rows})
        return Side(about["model"], about["sha256"], contract, rows, chosen, chosen | {"scenes": scenes})
    except (KeyError, ValueError, TypeError) as error:
        raise FileError(path, f"is no evaluation of a model ({error})", "measure the model anew") from error


def check(first: Side, second: Side) -> None:
    """Both sides must be of one kind of scanner and one set.

    Raises:
        LeadlineError: they are not.
    """
    if first.contract.scanner != second.contract.scanner:
        raise LeadlineError(
            f"compare: {first.name} reads {first.contract.scanner} scans and {second.name} {second.contract.scanner} "
            "scans; compare models of one kind"
        )
    if first.about != second.about:
        raise LeadlineError(
            f"compare: the two were measured on different sets ({set_words(first.set)}; {set_words(second.set)}); "
            "measure both on the same"
        )


def page(sides: tuple[Side, Side], found: dict[str, Any], command: str = "") -> str:
    """The comparison, HTML."""
    curves = {f"{letter}: {s.name}": curve for letter, s, curve in zip("AB", sides, found["curves"], strict=True)}
    return render(
        "comparison.html.j2",
        names=[s.name for s in sides],
        hashes=[s.sha256 for s in sides],
        set_words=set_words(sides[0].set | {"scenes": len({r.index for r in sides[0].rows})}),
        command=command,
        c=found,
        svg={
            "roc": charts.figure(charts.roc_chart(curves), "ROC curves"),
            "det": charts.figure(charts.det_chart(curves), "DET curves"),
        },
        whom=WHOM,
        rate_words=RATE_WORDS,
        titles={name: title for name, title in TITLES.items() if found["groups"][name]},
        honest_too=HONEST_TOO,
    )


def table(sides: Sequence[Side], found: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    scans = found["scans"]
    lines = [
        f"A: {sides[0].name} ({sides[0].sha256[:12]}). B: {sides[1].name} ({sides[1].sha256[:12]}).",
        f"{scans['threats']} threats and {scans['honest']} honest scans, the same for both. Intervals are 95 %.",
        "",
        "| area under the ROC curve | A | B | B - A (DeLong) | p | B - A (bootstrap over scenes) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, a in found["areas"].items():
        if a:
            lines.append(
                f"| {WHOM[name]} | {a['areas'][0]:.3f} | {a['areas'][1]:.3f} | {a['difference']:+.3f} "
                f"({a['delong'][0]:+.3f} to {a['delong'][1]:+.3f}) | {_p(a['p'])} "
                f"| {a['bootstrap'][0]:+.3f} to {a['bootstrap'][1]:+.3f} |"
            )
    lines += ["", "| found | A | B | only A | only B | p (McNemar) |", "| --- | --- | --- | --- | --- | --- |"]
    for name, rates in found["found"].items():
        lines += [_row(f"{WHOM[name]}, {RATE_WORDS[rate]} false alarms", f) for rate, f in rates.items()]
    lines += [_row("threats, stored thresholds", found["stored"]["threats"])]
    lines += [_row("honest scans that alarm, stored thresholds", found["stored"]["honest"])]
    return "\n".join(lines) + "\n"


def _row(words: str, f: dict[str, Any]) -> str:
    return (
        f"| {words} | {percent(f['first'])} | {percent(f['second'])} | {f['only_first']} | {f['only_second']} "
        f"| {_p(f['p'])} |"
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def is_model(path: Path) -> bool:
    """Whether a side is a model file and not a folder of results.

    Raises:
        ModelError: it is a file and no model.
    """
    if path.is_dir():
        return False
    contracts.read(path)
    return True
