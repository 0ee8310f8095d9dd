"""Reports as single HTML files that need nothing beside them, from the templates of this package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from leadline.datasets.scan import FileError
from leadline.training import charts
from leadline.training.breakdown import HONEST_TOO, TITLES
from leadline.training.evaluate import Evaluation
from leadline.training.pictures import worst_pictures
from leadline.training.report import METHODS, area, percent

RATE_KEYS = ("0.002", "0.004", "0.01", "0.05")
RATE_WORDS = {rate: f"{100 * float(rate):g} %" for rate in RATE_KEYS}

METHOD_GROUPS = (
    ("allowed_by_physics", "Threats that physics allows"),
    ("all", "All threats"),
    ("beyond_physics", "Threats beyond physics (d′ or d′ₘ below 5)"),
)
_BARS = ("mass_kg", "shield_mm", "cover", "d_material")


def evaluation_page(found: Evaluation, figures: dict[str, Any], details: dict[str, Any], command: str = "") -> str:
    """The report of an evaluation, HTML.

    Args:
        found: the measured model.
        figures: from `Evaluation.figures`.
        details: from `breakdown.details`.
        command: that reproduces it.
    """
    known = any(r.d_known is not None for r in found.rows)
    curves = details["curves"]
    named = {_curve_name(key): value for key, value in curves.items() if key == "all" or known}
    groups = details["groups"]
    drawn = {
        "roc": charts.figure(charts.roc_chart(named), "ROC curve") if named else "",
        "det": charts.figure(charts.det_chart(named), "DET curve") if named else "",
        "calibration": charts.figure(charts.calibration_chart(details["calibration"]["bins"]), "Calibration curve"),
        "mass": "",
        "groups": {
            name: charts.figure(charts.group_chart(groups[name], "0.05"), TITLES[name], (5.6, 0.9 + 0.32 * len(rows)))
            for name, rows in groups.items()
            if name in _BARS and any(g["found"].get("0.05") for g in rows)
        },
    }
    if details["mass"]["pairs"]:
        drawn["mass"] = charts.figure(charts.mass_chart(details["mass"]["pairs"], details["mass"]["promised"]), "Mass")
    best = "allowed_by_physics" if known else "all"
    method = figures["methods"]["network"][best]
    whom = ", threats that physics allows" if known else ""
    return render(
        "evaluation.html.j2",
        name=f"{found.contract.name} {found.contract.version}",
        scanner=found.contract.scanner,
        set_words=set_words(figures["set"]),
        sha256=found.sha256,
        command=command,
        f=figures,
        d=details,
        curves=curves,
        known_physics=known,
        headline=[
            (f"area under the ROC curve{whom}", area(method["auc"])),
            (f"found at 1 % false alarms{whom}", percent(method["found"].get("0.01"))),
            (f"found at 5 % false alarms{whom}", percent(method["found"].get("0.05"))),
            ("expected calibration error", f"{details['calibration']['error']:.3f}"),
        ],
        charts=drawn,
        method_groups=[g for g in METHOD_GROUPS if known or g[0] == "all"],
        method_words=METHODS,
        rates=RATE_KEYS,
        rate_words=RATE_WORDS,
        titles={name: title for name, title in TITLES.items() if groups[name]},
        honest_too=HONEST_TOO,
        pictures=worst_pictures(found.model, found.wanted, details["worst"]),
        unread=found.unread,
    )


def set_words(chosen: dict[str, Any]) -> str:
    """The set of scans in words."""
    if "data" in chosen:
        return f"{chosen['scenes']} labelled scans of {chosen['data']}"
    kind = {"heldout": "scanner settings, meshes and scenes that training never drew"}.get(
        chosen["split"], "scenes that training never drew, on its scanner settings"
    )
    return f"{chosen['scenes']} simulated scenes, seed {chosen['seed']}: {kind}"


def render(template: str, **values: Any) -> str:
    """A template of this package filled in; text is escaped."""
    return _environment().get_template(template).render(**values)


def write(path: Path, text: str) -> None:
    """Write a text file; it appears whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(path, f"cannot be written ({error.strerror or error})", "choose another place") from error


@cache
def _environment() -> Environment:
    folder = files("leadline.training") / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _curve_name(key: str) -> str:
    return {"all": "all threats", "allowed_by_physics": "that physics allows"}[key]
