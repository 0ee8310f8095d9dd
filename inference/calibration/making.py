"""From a fitted machine to a profile: shift, correction, thresholds, and what they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from leadline.datasets.scan import LeadlineError, Scan
from leadline.inference.calibration.common import common_machine, fit_correction
from leadline.inference.calibration.fit import Fitted
from leadline.inference.calibration.profile import Profile
from leadline.inference.calibration.shift import shift_of
from leadline.inference.calibration.study import study
from leadline.inference.calibration.thresholds import LEAST, score_all, thresholds_for
from leadline.inference.engine import Engine

MANY = 300
"""So many benign scans are better than simulated ones."""


def make_profile(
    engine: Engine,
    fitted: Fitted,
    benign: Sequence[Scan] = (),
    *,
    name: str,
    rate: float | None = None,
    scenes: int = 400,
    told: Callable[[int], None] = lambda done: None,
) -> Profile:
    """Everything that follows from a fitted machine.

    Args:
        engine: with the model.
        fitted: the scanner.
        benign: the user's own honest scans, with their declarations.
        name: what the scanner is called.
        rate: false-alarm rate that becomes the default; `None` keeps the model's.
        scenes: simulated with this scanner.
        told: called with the number of scenes done.

    Raises:
        LeadlineError: the model is for the other kind, or a benign scan cannot be scored.
    """
    machine = fitted.machine
    model = engine.model_for(machine.kind, name)
    contract = model.contract
    rates = list(contract.thresholds)
    default = contract.default_rate
    if rate is not None:
        default = next((r for r in rates if abs(float(r) - rate) < 1e-9), f"{rate:g}")
        rates = sorted({*rates, default}, key=float)
    correction = fit_correction(machine, common_machine(machine))
    found = study(engine, machine, correction, scenes, pixel_known=fitted.pixel_known, told=told)
    gain = found.gain()
    # a correction that is not shown to help is one more thing to go wrong
    kept = correction if gain[1] > 0 else None
    own = (found.corrected if kept else found.plain)[~found.undeclared]
    if len(own) < LEAST:
        raise LeadlineError(f"--scenes {scenes}: {len(own)} honest scans, at least {LEAST} are needed; give more")
    given = [_of_kind(scan, fitted) for scan in benign]
    scores = score_all(engine, [kept.onto(scan) if kept else scan for scan in given])
    many = len(scores) >= MANY
    derived = thresholds_for(rates, scores if many else own.tolist())
    thresholds = {r: derived[r].score for r in rates}
    old = {r: contract.thresholds[r] for r in rates if r in contract.thresholds}
    shift = shift_of(machine, fitted.errors)
    details: dict[str, Any] = {
        "machine": asdict(machine),
        "errors": {n: _short(e) for n, e in fitted.errors.items()},
        "fit": fitted.details,
        "pixel_known": fitted.pixel_known,
        "shift": asdict(shift),
        "corrected": kept is not None,
        "correction_gain": [_short(g) for g in gain],
        "before": found.figures(old | {r: thresholds[r] for r in rates if r not in old}, corrected=False),
        "after": found.figures(thresholds, corrected=kept is not None),
        "thresholds_from": {
            "used": "benign" if many else "simulated",
            "scans": len(scores) if many else len(own),
            "intervals": {r: [_short(t.low), _short(t.high)] for r, t in derived.items()},
        },
        "benign": {
            "scans": len(scores),
            "alarms": int(np.sum(np.array(scores) >= thresholds[default])) if scores else 0,
        },
        "leadline": version("leadline"),
    }
    return Profile(
        name,
        machine.kind,
        round(machine.pixel_mm, 4) if fitted.pixel_known else None,
        {"name": contract.name, "version": contract.version, "sha256": model.sha256},
        thresholds,
        default,
        kept,
        details,
    )


def _of_kind(scan: Scan, fitted: Fitted) -> Scan:
    """A scan that says its kind."""
    if scan.scanner.kind not in (None, fitted.machine.kind):
        raise LeadlineError(
            f"{scan.path}: a {scan.scanner.kind} scan among the benign ones of a {fitted.machine.kind} scanner; "
            "calibrate one scanner at a time"
        )
    return replace(scan, scanner=replace(scan.scanner, kind=fitted.machine.kind))


def _short(value: float) -> float:
    return float(f"{value:.5g}")
