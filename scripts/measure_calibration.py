"""What calibration brings on scanners outside the training's range: measured before and after, for docs/calibration.md.

    python scripts/measure_calibration.py parcel --machine hard --scenes 400

A machine that neither training nor the held-out scanners contain scans three step wedges; `leadline calibrate`'s own
code makes a profile of them. Then the machine itself, not the fitted one, scans held-out scenes (meshes and scenes
that training never drew), honest and with threats, and the model scores them as they are and with the profile.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from leadline.datasets.simulator.machines import Filters
from leadline.datasets.simulator.scanner import Machine
from leadline.datasets.simulator.wedges import USUAL, density_of, wedge_scan
from leadline.inference.calibration.fit import Fitted, fit_wedges
from leadline.inference.calibration.making import make_profile
from leadline.inference.calibration.profile import write_profile
from leadline.inference.calibration.study import Study, auc, study
from leadline.inference.calibration.table import Wedge
from leadline.inference.engine import Engine

SEED = 52013
"""Set of scenes; another one than calibration's."""


def filters(**mm: float) -> tuple[Filters, Filters]:
    both = tuple(mm.items())
    return both, both


def machines(kind: str) -> dict[str, Machine]:
    """Scanners outside the ranges of `simulator.machines`; faults are those of an ordinary drawn machine."""
    usual = Machine.draw(kind, np.random.default_rng(5), "train")  # type: ignore[arg-type]
    if kind == "container":
        return {
            "hard": replace(
                usual, energies=(7.6, 3.9), labels=("8 MV", "4 MV"), filters=filters(Fe=40.0, Pb=12.0),
                crystal_g_cm2=7.0, quanta=(1200.0, 800.0),
            ),
            "soft": replace(
                usual, energies=(4.0, 3.0), labels=("4 MV", "3 MV"), filters=filters(), crystal_g_cm2=35.0,
                quanta=(2700.0, 1800.0),
            ),
        }  # fmt: skip
    base = replace(
        usual, detector="dual_layer", scintillators=("GOS", "CsI"), scatter=(7e-3, 7e-3), pedestal=(4e-4, 4e-4),
        quanta=(4e4, 2.5e4),
    )  # fmt: skip
    return {
        "hard": replace(
            base, energies=(205.0, 205.0), labels=("205 kV", "205 kV"), filters=filters(Al=5.0, Cu=1.0),
            front_g_cm2=0.35, between_mm=1.6, crystal_g_cm2=0.8,
        ),
        "soft": replace(
            base, energies=(105.0, 105.0), labels=("105 kV", "105 kV"), filters=filters(Al=0.5), front_g_cm2=0.05,
            between_mm=0.1, crystal_g_cm2=2.5,
        ),
    }  # fmt: skip


def calibrated(machine: Machine) -> Fitted:
    """Scan wedges with a machine, and fit them."""
    rng = np.random.default_rng(1)
    scans, table = [], []
    for material, thickness in USUAL[machine.kind].items():
        wedge = wedge_scan(machine, material, thickness, rng)
        told = replace(wedge.scan.scanner, pixel_mm=None)
        scans.append(replace(wedge.scan, scanner=told))
        table.append(
            Wedge(Path(material), material, density_of(material), wedge.box, "x", tuple(thickness), wedge.step_mm)
        )
    return fit_wedges(table, scans)


def wilson(hits: int, total: int) -> tuple[float, float, float]:
    """Share with its 95 % interval (Wilson)."""
    z = 1.959964
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return share, max(middle - half, 0.0), min(middle + half, 1.0)


def auc_interval(honest: np.ndarray, threats: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve with a 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = [auc(rng.choice(honest, len(honest)), rng.choice(threats, len(threats))) for _ in range(500)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return auc(honest, threats), float(low), float(high)


def figures(found: Study, scores: np.ndarray, thresholds: dict[str, float]) -> dict[str, object]:
    """Area, and false alarms and threats found by rate, with intervals."""
    honest, threats = scores[~found.undeclared], scores[found.undeclared]
    return {
        "auc": auc_interval(honest, threats),
        "at": {
            rate: {
                "threshold": t,
                "false_alarms": wilson(int((honest >= t).sum()), len(honest)),
                "found": wilson(int((threats >= t).sum()), len(threats)),
                "found_at_equal_false_alarms": float((threats > np.quantile(honest, 1 - float(rate))).mean()),
            }
            for rate, t in thresholds.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("parcel", "container"))
    parser.add_argument("--machine", default="hard", choices=("hard", "soft"))
    parser.add_argument("--scenes", type=int, default=400, help="held-out scenes to measure on")
    parser.add_argument("--calibration", type=int, default=400, help="scenes that calibrate simulates")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the profile and the figures")
    given = parser.parse_args()
    machine = machines(given.kind)[given.machine]
    engine = Engine(given.model, threads=1)
    contract = engine.model_for(machine.kind).contract

    def told(what: str, total: int) -> Callable[[int], None]:
        return lambda done: print(f"\r{what} {done} of {total}", end="", file=sys.stderr, flush=True)

    fitted = calibrated(machine)
    profile = make_profile(
        engine, fitted, name=f"{given.kind} {given.machine}", scenes=given.calibration,
        told=told("calibrating", given.calibration),
    )  # fmt: skip
    found = study(
        engine, machine, profile.correction, given.scenes, pixel_known=True, seed=SEED, split="heldout",
        told=told("measuring", given.scenes),
    )  # fmt: skip
    record = {
        "command": " ".join(["python", *sys.argv]),
        "model": dict(profile.model),
        "machine": {"true": list(machine.energies), "fitted": list(fitted.machine.energies)},
        "quanta": {"true": list(machine.quanta), "fitted": list(fitted.machine.quanta)},
        "distance": [profile.details["shift"][k] for k in ("distance", "ordinary")],
        "scans": {"honest": int((~found.undeclared).sum()), "threats": int(found.undeclared.sum())},
        "novel": [float((found.novelty > 1).mean()), float((found.corrected_novelty > 1).mean())],
        "correction": profile.correction is not None,
        "gain_where_calibrated": profile.details["correction_gain"],
        "gain_where_measured": found.gain(),
        "before": figures(found, found.plain, dict(contract.thresholds)),
        "after": figures(found, found.corrected, dict(profile.thresholds)),
    }
    print(file=sys.stderr)
    text = json.dumps(record, indent=1)
    print(text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        stem = f"{given.kind}-{given.machine}"
        (given.out / f"{stem}.json").write_text(text + "\n", "utf-8")
        write_profile(given.out / f"{stem}-profile.json", profile)


if __name__ == "__main__":
    main()
