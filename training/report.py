"""Figures as text: the table that a command prints, and the model card."""

from __future__ import annotations

import json
from typing import Any

from leadline.models.contract import ModelContract

METHODS = {
    "network": "this model",
    "largest_attenuation": "largest attenuation",
    "ratio_rule": "best energy-ratio rule",
    "largest_attenuation_and_declaration": "largest attenuation + declaration",
    "ratio_rule_and_declaration": "best energy-ratio rule + declaration",
}
"""Methods in words."""


def as_json(record: dict[str, Any]) -> str:
    """A record of figures as JSON text; numpy's numbers become plain ones."""
    return json.dumps(record, indent=1, ensure_ascii=False, default=lambda number: number.item()) + "\n"


def percent(value: list[float] | None) -> str:
    """`[value, low, high]` as `95.1 % (93.2 to 96.6)`."""
    return f"{value[0] * 100:.1f} % ({value[1] * 100:.1f} to {value[2] * 100:.1f})" if value else "–"


def area(value: list[float] | None) -> str:
    """`[value, low, high]` as `0.991 (0.988 to 0.994)`."""
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})" if value else "–"


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    scans, places = figures["scans"], figures["places"]
    allowed = scans["threats_allowed_by_physics"]
    told = f", of which physics allows telling {allowed} (d' ≥ 5 and d'm ≥ 5)" if allowed else ""
    lines = [f"{scans['honest']} honest scans, {scans['threats']} with a threat{told}. Intervals are 95 %.", ""]
    for group, title in (
        ("allowed_by_physics", "Threats that physics allows"),
        ("all", "All threats"),
        ("beyond_physics", "Threats beyond physics (d' or d'm below 5)"),
    ):
        if group != "all" and not allowed:
            continue
        lines += [
            f"**{title}**", "",
            "| method | AUC | found at 0.2 % false alarms | at 0.4 % | at 1 % | at 5 % |",
            "| --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        for name, result in figures["methods"].items():
            found = result[group]["found"]
            cells = [percent(found.get(rate)) for rate in ("0.002", "0.004", "0.01", "0.05")]
            lines.append(f"| {METHODS[name]} | {area(result[group]['auc'])} | {' | '.join(cells)} |")
        lines.append("")
    if any(m["pairs_won"] for m in figures["methods"].values()):
        lines += ["| method | pairs won (threat above its honest twin) |", "| --- | --- |"]
        lines += [f"| {METHODS[name]} | {percent(m['pairs_won'])} |" for name, m in figures["methods"].items()]
    for group, title, count in (
        ("allowed_by_physics", "that physics allows", "threats_allowed_by_physics"),
        ("all", "all threats", "threats"),
    ):
        if group == "all" or allowed:
            lines += ["", *_by_scenario(figures["scenarios"], group, title, count)]
    more = (" found that physics allows |", " --- |") if allowed else ("", "")
    lines += [
        "",
        f"| stored threshold for | score | false alarms | found |{more[0]}",
        f"| --- | --- | --- | --- |{more[1]}",
    ]
    for rate, row in figures["thresholds"].items():
        lines.append(
            f"| {float(rate) * 100:g} % false alarms | {row['threshold']:.3f} | {percent(row['false_alarms'])} "
            f"| {percent(row['found'])} |" + (f" {percent(row['found_allowed_by_physics'])} |" if allowed else "")
        )
    said = []
    if places["right"]:
        said.append(
            f"Of the threats found at the default threshold, the place is right for {percent(places['right'])}; "
            f"of those that physics allows for {percent(places['right_allowed_by_physics'])}, and where the place is "
            f"right so is the family for {percent(places['family_right_where_place_right'])}."
            if allowed
            else f"Of the threats found at the default threshold, the place is right for {percent(places['right'])}."
        )
    said.append(f"Expected calibration error {figures['calibration_error']:.3f}.")
    if figures["areal_density_error"] is not None:
        said.append(
            f"Median error of areal density {_percent(figures['areal_density_error'])}, of cargo mass "
            f"{_percent(figures['cargo_mass_error'])}."
        )
    said.append(f"Called novel: {percent(figures['novel'])}.")
    lines += ["", " ".join(said)]
    return "\n".join(lines) + "\n"


def _by_scenario(scenarios: dict[str, Any], group: str, title: str, count: str) -> list[str]:
    """A scenario's threats against the honest scans of all."""
    lines = [
        f"**By scenario, {title}** (against all honest scans)", "",
        "| scenario | threats | AUC | found at 1 % false alarms | at 5 % |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, row in scenarios.items():
        cells = [area(row[group]["auc"]), *(percent(row[group]["found"].get(rate)) for rate in ("0.01", "0.05"))]
        lines.append(f"| {name.replace('_', ' ')} | {row[count]} | {' | '.join(cells)} |")
    return lines


def card(contract: ModelContract, figures: dict[str, Any], sha256: str) -> str:
    """The model card, Markdown."""
    training = contract.training
    rows = "\n".join(f"| {key} | {training[key]} |" for key in training)
    return f"""# {contract.name} {contract.version}

A convolutional network that reads a dual-energy X-ray scan of a {contract.scanner} in transmission and says
whether watch-list material ({", ".join(contract.watched)}) is present that the declaration does not explain,
where, and how sure it is. One ONNX file: raw transmission in, calibrated probabilities and maps out.
Licence: {contract.licence}. SHA-256 `{sha256}`.

## How it was made

Fitted on simulated scans alone (`leadline.datasets.simulator`); no real scan was used.

| | |
| --- | --- |
{rows}

Calibrated (probabilities, thresholds, novelty, masses) on simulated scans of the validation split, which the
fit never saw.

## How well it does

Simulated scans of scanner settings, meshes and scenes that training never drew (split `{figures["set"]["split"]}`, seed
{figures["set"]["seed"]}, {figures["set"]["scenes"]} scenes), by the exported file on ONNX Runtime. Reproduce with
`leadline evaluate {contract.scanner}.onnx --scenes {figures["set"]["scenes"]} --seed {figures["set"]["seed"]}`.

{table(figures)}
## What it is not

- Simulated scans are not real ones: expect worse figures on a real scanner until it has been checked there.
- Where nothing penetrates it knows nothing; `leadline screen` says so.
- Probabilities hold for the simulator's share of threats, which is far above that of real trade; thresholds are set by
  false-alarm rate and do not depend on it.
- Thin, small or finely mixed material below the noise cannot be found by any method; see the row beyond physics.
"""


def _percent(value: float | None) -> str:
    return f"{value * 100:.1f} %" if value is not None else "–"
