"""What an old model found and a new one does not, and the other way round: the same scans, at equal false alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.beam import beam
from leadline.datasets.scan import Kind, Scan
from leadline.datasets.simulator.simulate import simulate_pair
from leadline.models.calibrated import Calibrated
from leadline.models.config import NetworkConfig
from leadline.training.labelled import Specimen
from leadline.training.progress import Progress
from leadline.training.statistics import mcnemar, share, weighted_auc
from leadline.training.targets import said_vector

SEED = 7300
"""Set of scenes, in the validation split, on which models are compared after fine-tuning."""

SETS = {"simulated": "simulated scenes", "own": "own scans that were held back"}
"""Sets that are measured, in words."""


@dataclass(frozen=True)
class Pair:
    """One scan and what both models say.

    Attributes:
        source: key of `SETS`.
        name: file, or number of the scene.
        group: scenario, or family of the label.
        threat: whether undeclared watch-list material is there.
        old, new: logits of the two scores.
        index: number of the scene, or of the labelled scan in its list.
        hides: whether it is the version of the scene that hides something.
    """

    source: str
    name: str
    group: str
    threat: bool
    old: float
    new: float
    index: int = 0
    hides: bool = False


def measure(
    old: Calibrated, new: Calibrated, config: NetworkConfig, scenes: int, specimens: Sequence[Specimen]
) -> list[Pair]:
    """Both models on simulated scenes and on labelled scans.

    Args:
        old: what was fitted on.
        new: what came of it; may know more families.
        config: of the new one.
        scenes: simulated ones, each honest and with its threat.
        specimens: labelled scans that neither was fitted on.
    """
    cv2.setNumThreads(1)
    score = [_scorer(n, config) for n in (old.eval(), new.eval())]
    pairs = []
    with Progress("comparing the old model with the new") as shown:
        for scan, known in _scans(config.kind, scenes, specimens):
            first, second = (s(scan) for s in score)
            pairs.append(replace(known, old=first, new=second))
            shown.told(len(pairs), 2 * scenes + len(specimens))
    return pairs


def _scans(kind: Kind, scenes: int, specimens: Sequence[Specimen]) -> Iterator[tuple[Scan, Pair]]:
    """Scans, and what is known of them; not scored yet."""
    for index, specimen in enumerate(specimens):
        group = specimen.family or ("with a threat" if specimen.positive else "honest")
        known = Pair("own", str(specimen.path), group, specimen.positive, 0.0, 0.0, index, specimen.positive)
        yield specimen.read(kind), known
    for index in range(scenes):
        for sample in simulate_pair(kind, SEED, index, split="validation"):
            truth = sample.truth
            version = "threat" if truth.is_threat else "honest"
            name = f"{index} {version}"
            yield (
                sample.scan,
                Pair("simulated", name, truth.scenario, truth.undeclared, 0.0, 0.0, index, truth.is_threat),
            )


def _scorer(network: Calibrated, config: NetworkConfig) -> Callable[[Scan], float]:
    """The logit of a scan; what is declared in the order of the network's own families."""
    families = len(config.families)
    places = [*(config.families.index(f) for f in network.config.families), *range(families, families + 1 + APPEARANCE)]

    def score(scan: Scan) -> float:
        known = (scan.transmission, said_vector(scan.declaration)[places], beam(scan.scanner))
        with torch.inference_mode():
            return float(network.raw(*(torch.from_numpy(v)[None] for v in known)).score[0])

    return score


def figures(pairs: Sequence[Pair], rate: float) -> dict[str, Any]:
    """What was kept, forgotten and learned, on each set, both models at the same share of false alarms.

    Args:
        pairs: measured scans.
        rate: false-alarm rate; each model's threshold is where this share of the set's honest scans alarms.
    """
    sets = {}
    for source in SETS:
        chosen = [p for p in pairs if p.source == source]
        if chosen:
            sets[source] = _figures(chosen, rate)
    return {"false_alarms": rate, "sets": sets}


def _figures(pairs: Sequence[Pair], rate: float) -> dict[str, Any]:
    threat = np.array([p.threat for p in pairs])
    columns = {k: np.array([getattr(p, k) for p in pairs]) for k in ("old", "new")}
    limits = {k: _limit(v[~threat], rate) for k, v in columns.items()}
    above = {k: columns[k] > limits[k] for k in columns}
    lost, won = above["old"] & ~above["new"], above["new"] & ~above["old"]
    ones = np.ones((1, len(pairs)))
    both = bool(threat.any() and not threat.all())
    groups = {}
    for name in sorted({p.group for p in pairs if p.threat}):
        here = threat & np.array([p.group == name for p in pairs])
        groups[name] = _counts(above, here)
    return {
        "honest": int((~threat).sum()),
        "threats": int(threat.sum()),
        "auc": {k: float(weighted_auc(v, threat, ones)[0]) if both else None for k, v in columns.items()},
        "found": {k: share(v[threat]) for k, v in above.items()},
        "false_alarms": {k: share(v[~threat]) for k, v in above.items()},
        **_counts(above, threat),
        "p": mcnemar(int((lost & threat).sum()), int((won & threat).sum())),
        "groups": groups,
        "logits": {
            name: [[round(float(columns[m][k] - limits[m]), 3) for m in columns] for k in np.flatnonzero(flags)]
            for name, flags in (("threats", threat), ("honest", ~threat))
        },
        "scans": {
            "forgotten": _listed(pairs, lost & threat, columns, limits),
            "learned": _listed(pairs, won & threat, columns, limits),
            "new_false_alarms": _listed(pairs, won & ~threat, columns, limits),
        },
    }


def _limit(honest: npt.NDArray[np.float64], rate: float) -> float:
    return float(np.quantile(honest, 1 - rate)) if len(honest) else 0.0


def _counts(above: dict[str, npt.NDArray[np.bool_]], here: npt.NDArray[np.bool_]) -> dict[str, int]:
    old, new = above["old"][here], above["new"][here]
    return {
        "kept": int((old & new).sum()),
        "forgotten": int((old & ~new).sum()),
        "learned": int((~old & new).sum()),
        "missed": int((~old & ~new).sum()),
    }


def _listed(
    pairs: Sequence[Pair],
    chosen: npt.NDArray[np.bool_],
    columns: dict[str, npt.NDArray[np.float64]],
    limits: dict[str, float],
) -> list[dict[str, Any]]:
    """The chosen scans, those that changed most first; scores relative to each model's threshold, logits.

    `index` and `threat` name the scan as in `evaluate.Wanted` and `pictures.scan_of`.
    """
    change = np.abs(columns["new"] - limits["new"] - columns["old"] + limits["old"])
    order = [k for k in np.argsort(-change) if chosen[k]]
    return [
        {"name": pairs[k].name, "group": pairs[k].group, "index": pairs[k].index, "threat": pairs[k].hides}
        | {m: round(float(columns[m][k] - limits[m]), 3) for m in columns}
        for k in order
    ]
