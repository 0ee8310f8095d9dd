"""Measure a released file on scans that training never saw, simulated or labelled, beside two baselines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from leadline.datasets.materials import use_catalogue
from leadline.datasets.simulator.simulate import Split
from leadline.models import contract as contracts
from leadline.models.contract import ModelContract
from leadline.training.baselines import Baselines, fit_baselines
from leadline.training.figures import DETECTABLE, RATES, figures
from leadline.training.labelled import Specimen
from leadline.training.measure import Row, Task, Unread
from leadline.training.record import Told, measured

__all__ = ["DETECTABLE", "RATES", "ROWS", "Evaluation", "Wanted", "evaluate", "figures", "run"]

ROWS, CLUES = "rows.jsonl", "baselines.jsonl"
"""Files of a folder of results: the measured scans, and those that the baselines were fitted on."""


@dataclass(frozen=True)
class Wanted:
    """What to measure a model on.

    Attributes:
        scenes: number of simulated scenes; each gives an honest scan and, three times out of four, one with a threat.
        seed: names the set of scenes.
        split: `"heldout"` for scanner settings, meshes and scenes that training never drew.
        specimens: labelled scans to read in place of simulated ones.
        data: words for those.
    """

    scenes: int = 2000
    seed: int = 1000
    split: Split = "heldout"
    specimens: tuple[Specimen, ...] = ()
    data: str = ""

    def about(self) -> dict[str, Any]:
        """What tells this set from others; a set with more scenes contains the smaller ones."""
        if not self.specimens:
            return {"split": self.split, "seed": self.seed, "simulator": simulator()}
        digest = hashlib.sha256(repr(self.specimens).encode())
        return {"data": self.data, "labels": digest.hexdigest()[:16]}

    def count(self) -> int:
        """Number of scenes or labelled scans."""
        return len(self.specimens) or self.scenes


@dataclass(frozen=True)
class Evaluation:
    """A measured model.

    Attributes:
        model: the file.
        sha256: of it.
        contract: what it says of itself.
        wanted: the set.
        rows: the measured scans.
        unread: labelled scans that could not be.
        baselines: fitted for the same kind of scanner; `None` for labelled scans.
        baseline_scenes: on which they were fitted.
    """

    model: Path
    sha256: str
    contract: ModelContract
    wanted: Wanted
    rows: list[Row]
    unread: list[Unread]
    baselines: Baselines | None
    baseline_scenes: int

    def figures(self) -> dict[str, Any]:
        """All figures with the set that they were measured on, ready for JSON."""
        chosen = self.wanted.about() | {"scenes": self.wanted.count()}
        if self.baselines is not None:
            chosen["baseline_scenes"] = self.baseline_scenes
        return figures(self.rows, self.contract, self.baselines) | {"set": chosen}


def run(
    model: Path,
    wanted: Wanted,
    *,
    folder: Path | None = None,
    processes: int = 1,
    baseline_scenes: int = 200,
    told: Told | None = None,
) -> Evaluation:
    """Measure a released file; the same call goes on where an interrupted one was.

    Args:
        model: ONNX file; it runs on ONNX Runtime, as it does for users.
        wanted: on what.
        folder: keeps the measured scans; `None` = nowhere.
        processes: that work at it.
        baseline_scenes: of the training split, on which the baselines are fitted; 0 = without baselines.
        told: is told of the progress, the scenes of the baselines included.

    Raises:
        LeadlineError: the model or a file cannot be used, or nothing could be measured.
    """
    contract = contracts.read(model)
    use_catalogue(contract.watch_list)  # scenes and declarations by what the model knows
    kind, digest = contract.scanner, contracts.sha256(model)
    about = {"kind": kind, "leadline": version("leadline")}
    baselines = None
    before = 0 if wanted.specimens else baseline_scenes
    whole = before + wanted.count()
    if before:
        task = Task(None, kind, "train", wanted.seed + 1)
        path = folder / CLUES if folder is not None else None
        told_of = about | {"clues": "train", "seed": wanted.seed + 1, "simulator": simulator()}
        told_of["watch_list"] = contract.watch_list
        count = None if told is None else lambda done, total: told(done, whole)
        fitted_on = measured(task, range(before), path, told_of, processes=processes, told=count)
        scans = [r for r in fitted_on if isinstance(r, Row)]
        baselines = fit_baselines(
            [r.clues for r in scans], [r.declared for r in scans], [r.undeclared for r in scans], kind
        )
    task = Task(model, kind, wanted.split, wanted.seed, evidence_threshold=contract.evidence_threshold)
    task = replace(task, physics=not wanted.specimens, specimens=wanted.specimens)
    found = measured(
        task,
        range(wanted.count()),
        folder / ROWS if folder is not None else None,
        about
        | {"model": f"{contract.name} {contract.version}", "sha256": digest, "contract": contract.to_json()}
        | wanted.about(),
        processes=processes,
        told=None if told is None else lambda done, total: told(before + done, whole),
    )
    rows = [r for r in found if isinstance(r, Row)]
    unread = [r for r in found if isinstance(r, Unread)]
    if not rows:
        raise contracts.ModelError(model, f"no scan could be measured with it ({unread[0].reason})", "mend the scans")
    return Evaluation(model, digest, contract, wanted, rows, unread, baselines, baseline_scenes)


@cache
def simulator(package: Traversable | None = None) -> str:
    """Digest of the code and data that simulated scans are made of.

    Its version alone does not tell: between two releases the simulator changes. The user's watch list, on which scenes
    depend too, stands in the model's contract.

    Args:
        package: folder of `leadline.datasets`; `None` = the one in use.
    """
    package = package or files("leadline.datasets")
    digest = hashlib.sha256()
    for folder in (package, *(package / name for name in ("data", "physics", "simulator"))):
        for path in sorted((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.name):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def evaluate(
    model: Path,
    *,
    scenes: int,
    seed: int = 1000,
    split: Split = "heldout",
    processes: int = 1,
    baseline_scenes: int = 200,
    told: Told | None = None,
) -> dict[str, Any]:
    """The figures of a released file on simulated scans.

    Returns:
        The figures, ready for JSON. Every share comes as [value, low, high] with its 95 % interval.
    """
    wanted = Wanted(scenes, seed, split)
    return run(model, wanted, processes=processes, baseline_scenes=baseline_scenes, told=told).figures()
