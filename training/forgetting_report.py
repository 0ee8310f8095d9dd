"""What fitting on changed, as a table and as a page with charts and pictures of the scans that changed most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.beam import beam
from leadline.models import contract as contracts
from leadline.models.calibrated import Calibrated
from leadline.training import charts
from leadline.training.charts_pairs import fates_chart, height_of, scatter_chart
from leadline.training.evaluate import Wanted
from leadline.training.forgetting import SEED, SETS
from leadline.training.labelled import Specimen
from leadline.training.page import render
from leadline.training.pictures import Looker, Map, Shown, View, views

SHOWN = 20
"""Scans that the report lists of each sort."""

PICTURED = {"forgotten": 6, "learned": 3, "new_false_alarms": 3}
"""Scans of each sort that it shows as pictures."""

TITLES = {
    "forgotten": "Forgotten: the old model finds it, the new one does not",
    "learned": "Learned: the new model finds it, the old one did not",
    "new_false_alarms": "New false alarms: honest scans that alarm now and did not before",
}

Pictures = Mapping[str, Mapping[str, Sequence[Sequence[View]]]]
"""By set and sort, the views of each scan."""


def pictures(
    figures: Mapping[str, Any],
    old: Calibrated,
    new: Calibrated,
    specimens: Sequence[Specimen],
    threshold: float,
) -> Pictures:
    """The scans that changed most, with what both models look at.

    Args:
        figures: from `forgetting.figures`.
        old, new, specimens: as in `forgetting.measure`.
        threshold: evidence from which a cell counts, 0..1.
    """
    wanted = {
        "simulated": Wanted(seed=SEED, split="validation"),
        "own": Wanted(specimens=tuple(specimens), data="own"),
    }
    lookers = [
        _looker(network.eval(), words, threshold)
        for network, words in ((old, "the old model looks here"), (new, "the new model looks here"))
    ]
    return {
        source: {
            sort: [views(scan, wanted[source], new.config.kind, lookers) for scan in found["scans"][sort][:count]]
            for sort, count in PICTURED.items()
        }
        for source, found in figures["sets"].items()
    }


def _looker(network: Calibrated, words: str, threshold: float) -> Looker:
    watched = [network.config.families.index(name) for name in network.config.watched]

    nothing = np.zeros(len(network.config.families) + 1 + APPEARANCE, np.float32)  # evidence is without declaration

    def evidence(shown: Shown) -> Map:
        with torch.inference_mode():
            known = (shown.scan.transmission, nothing, beam(shown.scan.scanner))
            raw = network.raw(*(torch.from_numpy(v)[None] for v in known))
            found: Map = torch.sigmoid(raw.evidence[0, watched]).amax(0).numpy()
            return found

    return Looker(words, evidence, threshold)


def threshold_of(model: Path) -> float:
    """Evidence from which a cell counts: that of a model file; one half for a checkpoint, which has none yet."""
    return contracts.read(model).evidence_threshold if model.suffix != ".ckpt" else 0.5


def as_table(figures: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"Both models at {100 * figures['false_alarms']:g} % false alarms on the honest scans of each set."]
    for source, f in figures["sets"].items():
        lines += [
            "", f"**{SETS[source]}**: {f['honest']} honest, {f['threats']} with undeclared watch-list material", "",
            "| | both find | forgotten | learned | neither finds |", "| --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        rows = {"all": f, **f["groups"]}
        lines += [f"| {k} | {v['kept']} | {v['forgotten']} | {v['learned']} | {v['missed']} |" for k, v in rows.items()]
        if f["auc"]["old"] is not None:
            area = f"area under the ROC curve {f['auc']['old']:.3f} before, {f['auc']['new']:.3f} after"
            lines += ["", f"{area}; p = {f['p']:.2g} (McNemar)"]
    return "\n".join(lines) + "\n"


def as_page(figures: dict[str, Any], shown: Pictures | None = None) -> str:
    """The report as one HTML page that needs nothing beside it.

    Args:
        figures: from `forgetting.figures`, with the models' names, what was fitted on and the command.
        shown: from `pictures`.
    """
    return render(
        "forgetting.html.j2",
        f=figures,
        sets=SETS,
        most=SHOWN,
        titles=TITLES,
        pictures=shown or {},
        svg={source: _charts(source, found) for source, found in figures["sets"].items()},
    )


def _charts(source: str, found: Mapping[str, Any]) -> dict[str, str]:
    """Charts of one set; empty where a class is missing."""
    points = {name: np.array(found["logits"][name], float).reshape(-1, 2) for name in ("honest", "threats")}
    if not len(points["honest"]) or not len(points["threats"]):
        return {"scatter": "", "fates": ""}
    scatter = scatter_chart(
        {"honest": ("honest", points["honest"]), "threats": ("threat", points["threats"])},
        (0.0, 0.0),
        ("old model: logit above its threshold", "new model: logit above its threshold"),
        ("only the new one alarms", "only the old one alarms"),
    )
    size = (4.9, max(height_of(found["groups"]), 2.0))
    return {
        "scatter": charts.figure(scatter, f"{SETS[source]}: new score over old", (4.6, 4.2)),
        "fates": charts.figure(fates_chart(found["groups"]), f"{SETS[source]}: threats by kind", size),
    }
