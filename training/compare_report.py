"""A comparison of two models as a table and a page; and where its two sides come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadline.datasets.materials import use_catalogue
from leadline.datasets.scan import FileError, LeadlineError
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract
from leadline.training import charts
from leadline.training.breakdown import HONEST_TOO, TITLES
from leadline.training.charts_pairs import scatter_chart
from leadline.training.compare import pair
from leadline.training.evaluate import ROWS, Wanted
from leadline.training.figures import is_allowed, is_honest, is_threat
from leadline.training.labelled import read_labels
from leadline.training.measure import Row
from leadline.training.page import RATE_WORDS, render, set_words
from leadline.training.pictures import View, looker, views
from leadline.training.record import load
from leadline.training.report import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURED = 4
"""Scans of each kind of change that are shown as pictures."""

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
        wanted: the set, to show scans of it; `None` where it is not there any more.
        model: its file; `None` where only what it measured is at hand.
    """

    name: str
    sha256: str
    contract: ModelContract
    rows: list[Row]
    about: dict[str, Any]
    set: dict[str, Any]
    wanted: Wanted | None = None
    model: Path | None = None


def side_of(model: Path, wanted: Wanted) -> Side:
    """A model that is still to be measured: it has no rows yet.

    Raises:
        ModelError: the file is no model.
    """
    c = contracts.read(model)
    chosen = wanted.about()
    shown = chosen | {"scenes": wanted.count()}
    return Side(f"{c.name} {c.version}", contracts.sha256(model), c, [], chosen, shown, wanted, model)


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
        keys = ("split", "seed", "simulator", "data", "labels")
        chosen: dict[str, Any] = {key: about[key] for key in keys if key in about}
        rows = [r for r in found if isinstance(r, Row)]
        scenes = len({r.index for r in rows})
        shown = chosen | {"scenes": scenes}
        return Side(about["model"], about["sha256"], contract, rows, chosen, shown, _set_of(chosen, scenes))
    except (KeyError, ValueError, TypeError) as error:
        raise FileError(path, f"is no evaluation of a model ({error})", "measure the model anew") from error


def check(first: Side, second: Side) -> None:
    """Both sides must be of one kind of scanner and one set; of simulated scans also of one watch list.

    Number and seed make a scene for one watch list alone: with another the same number is another scene.

    Raises:
        LeadlineError: they are not.
    """
    if first.contract.scanner != second.contract.scanner:
        raise LeadlineError(
            f"compare: {first.name} reads {first.contract.scanner} scans and {second.name} {second.contract.scanner} "
            "scans; compare models of one kind"
        )
    if "split" in first.about and first.contract.watch_list != second.contract.watch_list:
        raise LeadlineError(
            f"compare: {first.name} and {second.name} have different watch lists, and with them their simulated "
            "scenes differ with it; compare them on labelled scans: name DATA"
        )
    if first.about | {"simulator": ""} == second.about | {"simulator": ""} and first.about != second.about:
        raise LeadlineError("compare: the two were measured by different versions of the simulator; measure both anew")
    if first.about != second.about:
        raise LeadlineError(
            f"compare: the two were measured on different sets ({set_words(first.set)}; {set_words(second.set)}); "
            "measure both on the same"
        )


def _set_of(about: dict[str, Any], scenes: int) -> Wanted | None:
    """The set of an evaluation; `None` where its scans are gone or others now."""
    try:
        if "split" in about:
            found = Wanted(scenes, about["seed"], about["split"])
        else:
            found = Wanted(specimens=tuple(read_labels(Path(about["data"]))), data=about["data"])
    except LeadlineError:
        return None
    return found if found.about() == about else None


def page(sides: tuple[Side, Side], found: dict[str, Any], command: str = "") -> str:
    """The comparison, HTML."""
    letters = [f"{letter}: {s.name}" for letter, s in zip("AB", sides, strict=True)]
    if letters[0][3:] == letters[1][3:]:
        letters = [f"{words} ({s.sha256[:6]})" for words, s in zip(letters, sides, strict=True)]
    svg = {}
    for whom, pair_of in found["curves"].items():
        curves = dict(zip(letters, pair_of, strict=True))
        svg[whom] = {
            "roc": charts.figure(charts.roc_chart(curves), f"ROC curves, {WHOM[whom]}"),
            "det": charts.figure(charts.det_chart(curves), f"DET curves, {WHOM[whom]}"),
        }
    return render(
        "comparison.html.j2",
        names=[s.name for s in sides],
        hashes=[s.sha256 for s in sides],
        set_words=set_words(sides[0].set | {"scenes": len({r.index for r in sides[0].rows})}),
        command=command,
        c=found,
        svg=svg,
        scatter=charts.figure(_scatter(sides, found), "Score of B over score of A", (4.6, 4.4)),
        pictures=_pictures(sides, found["changed"]),
        heated=all(s.model is not None for s in sides),
        whom=WHOM,
        rate_words=RATE_WORDS,
        titles={name: title for name, title in TITLES.items() if found["groups"][name]},
        honest_too=HONEST_TOO,
    )


def _scatter(sides: tuple[Side, Side], found: dict[str, Any]) -> Callable[[Axes], None]:
    pairs = pair(sides[0].rows, sides[1].rows)
    known = any(a.d_known is not None for a, _ in pairs)
    groups = {
        "honest": ("honest", [p for p in pairs if is_honest(p[0])]),
        "threats beyond physics": ("beyond", [p for p in pairs if is_threat(p[0]) and known and not is_allowed(p[0])]),
        "threats that physics allows" if known else "threats": (
            "threat",
            [p for p in pairs if is_threat(p[0]) and (is_allowed(p[0]) or not known)],
        ),
    }
    return scatter_chart(
        {words: (key, np.array([[a.logit, b.logit] for a, b in chosen])) for words, (key, chosen) in groups.items()
         if chosen},
        (found["limits"][0], found["limits"][1]),
        ("score of A", "score of B"),
        ("only B alarms", "only A alarms"),
        as_scores=True,
    )  # fmt: skip


def _pictures(sides: tuple[Side, Side], changed: dict[str, list[dict[str, Any]]]) -> dict[str, list[list[View]]]:
    """The scans that changed most, of each kind, with what both models look at, as far as their files are at hand."""
    wanted = sides[0].wanted
    if wanted is None:
        return {kind: [] for kind in changed}
    use_catalogue(sides[0].contract.watch_list)
    lookers = [
        looker(side.model, f"{letter} looks here")
        for letter, side in zip("AB", sides, strict=True)
        if side.model is not None
    ]
    return {
        kind: [
            views(scan, wanted, sides[0].contract.scanner, lookers if len(lookers) == 2 else [], scan["places"])
            for scan in scans[:PICTURED]
        ]
        for kind, scans in changed.items()
    }


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
