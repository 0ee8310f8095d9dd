"""The policy: from scores, quality and declaration to clear, inspect or rescan, with reasons.

`decide` is a pure function, so that the policy can be tested by tables; `docs/verdicts.md` tells it in
prose. Sentences for people are made in `leadline.inference.reasons`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from leadline.datasets.declarations import explains
from leadline.datasets.scan import Declaration, Kind, Scan
from leadline.inference import reasons
from leadline.inference.engine import Scores
from leadline.inference.quality import Quality
from leadline.inference.regions import Opaque, Region, find_opaque, find_regions

Word = Literal["clear", "inspect", "rescan"]

DENSE: dict[Kind, tuple[str, ...]] = {
    "parcel": ("lead", "other_heavy", "copper", "steel"),
    "container": ("lead", "other_heavy", "copper", "steel", "mineral"),
}
"""Families of goods that may honestly let nothing through. At 160 kV a parcel of metal does; at 6 MV
also minerals, for 2.35 m of anything heavier than 1.1 g/cm3 take all but 1e-4 of the beam."""

LIGHT_CHAPTERS = frozenset({*range(1, 25), 30, 33, *range(35, 38), *range(39, 68), *range(90, 93), *range(94, 98)})
"""HS chapters of goods in which metal and mineral are fittings, never the mass: food, medicine, plastics, wood,
paper, textiles, shoes, instruments, furniture, toys, art. Only lead itself explains an opaque place there."""

LEAST_OPAQUE_CM2: dict[Kind, float] = {"parcel": 12.0, "container": 1000.0}
"""Smaller opaque places are no region: a battery, a bolt, a corner post."""

LEAST_OPAQUE_PIXELS: dict[Kind, int] = {"parcel": 400, "container": 4000}
"""The same in pixels, where the pixel size is unknown."""

MOSTLY = 0.5
"""If nothing penetrates this share of the goods, nobody has screened them, whatever was declared."""

NO_READING = 0.95
"""If nothing penetrates this share of the whole image, there is no picture."""

NOISIEST = 0.15
"""Relative noise of a pixel in open beam; real container scans have 0.015 to 0.02."""

CLIPPED, DEAD_LINES = 0.05, 0.1
"""Shares of clipped pixels and of dead lines that make a scan unreadable."""

OPEN_BEAM = (0.6, 1.3)
"""Level of the brightest part of a scan that was normalised to open beam (walls in front included)."""


@dataclass(frozen=True)
class Decision:
    """What the policy says of one scan.

    Attributes:
        verdict: `"clear"`, `"inspect"` or `"rescan"`.
        reasons: plain sentences, the weightiest first.
        regions: places of watch-list material, most probable first.
        opaque: places that nothing penetrates, largest first.
    """

    verdict: Word
    reasons: tuple[str, ...]
    regions: tuple[Region, ...]
    opaque: tuple[Opaque, ...]


@dataclass(frozen=True)
class Verdict:
    """One screened scan: what `leadline screen --json` prints.

    Attributes:
        path: the file as it was given.
        sha256: hash of its bytes.
        verdict: `"clear"`, `"inspect"` or `"rescan"`.
        score: calibrated probability that undeclared watch-list material is present.
        threshold: least score that alarms.
        materials: families and the probability that each is present, most probable first.
        regions: places of watch-list material.
        reasons: plain sentences.
        quality: figures of the image's quality, and the places that nothing penetrates.
        declared: the declaration, `None` where there is none.
        model: name, version and sha256 of the model.
        provider: ONNX Runtime's execution provider.
        elapsed_ms: time from opening the file to the verdict.
    """

    path: str
    sha256: str
    verdict: Word
    score: float
    threshold: float
    materials: tuple[tuple[str, float], ...]
    regions: tuple[Region, ...]
    reasons: tuple[str, ...]
    quality: dict[str, Any]
    declared: Declaration | None
    model: dict[str, str]
    provider: str
    elapsed_ms: float

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON types, keys in the order of the design; a figure that is none is `None`."""
        declared = self.declared and {"hs_code": self.declared.hs_code, "description": self.declared.description}
        return {
            "path": self.path,
            "sha256": self.sha256,
            "verdict": self.verdict,
            "score": _number(self.score, 6),
            "threshold": _number(self.threshold, 6),
            "materials": [{"family": f, "probability": _number(p, 4)} for f, p in self.materials],
            "regions": [
                {
                    "box": list(r.box),
                    "family": r.family,
                    "probability": _number(r.probability, 4),
                    "mass_kg": r.mass_kg and [_significant(m) for m in r.mass_kg],
                }
                for r in self.regions
            ],
            "reasons": list(self.reasons),
            "quality": self.quality,
            "declared": declared,
            "model": self.model,
            "provider": self.provider,
            "elapsed_ms": _number(self.elapsed_ms, 2),
        }

    def after(self, elapsed_ms: float) -> Verdict:
        """The same verdict, reached after so long."""
        return replace(self, elapsed_ms=elapsed_ms)


def decide(scan: Scan, scores: Scores, quality: Quality, threshold: float) -> Decision:
    """Apply the policy.

    Unreadable pixels come first (their score means nothing), then an undeclared watch-list material, then
    a place that nothing penetrates and the declaration does not explain, then what the model cannot judge.

    Args:
        scan: what was screened; its declaration counts, its pixels are not looked at.
        scores: what the model says.
        quality: what the picture is worth.
        threshold: least score that alarms.
    """
    contract = scores.model.contract
    kind, declaration = contract.scanner, scan.declaration
    declared = tuple(f for f in contract.watched if explains(declaration, f, contract.catalogue))
    undeclared = tuple(f for f in contract.watched if f not in declared)
    probability = dict(zip(contract.families, scores.materials.tolist(), strict=True))
    above = scores.score >= threshold
    explained = above and bool(declared) and _declared_explains(probability, declared, undeclared, contract)
    alarm = above and not explained
    opaque = find_opaque(quality, scan, LEAST_OPAQUE_CM2[kind], LEAST_OPAQUE_PIXELS[kind])
    hidden = [] if declared or explains_opaque(declaration, kind) else opaque
    unreadable = _unreadable(scan, quality)

    one_energy = scan.fidelity == "single"
    alarm_regions = find_regions(scores, scan, undeclared or contract.watched, always=alarm and not one_energy)
    regions = alarm_regions + find_regions(scores, scan, declared if undeclared else ())
    if one_energy:
        regions = []

    said: list[str] = []
    verdict: Word
    if unreadable:
        verdict = "rescan"
        said += unreadable
    elif alarm and not one_energy:
        verdict = "inspect"
        said.append(reasons.alarm(scores.score, threshold, declaration))
        said += reasons.places(alarm_regions, kind, scan.fidelity)
        said += reasons.hidden(hidden, declaration)
    elif hidden:
        verdict = "inspect"
        said += reasons.hidden(hidden, declaration)
    elif one_energy or scores.novelty > 1:
        verdict = "rescan"
    elif quality.unpenetrated_goods > MOSTLY:
        verdict = "rescan"
        said.append(reasons.mostly_opaque(quality, declaration))
    else:
        verdict = "clear"
        if not explained:
            said.append(reasons.below(scores.score, threshold))
    if explained:
        said.append(reasons.explained(declared, probability, declaration, scores.score, threshold))
    if not unreadable:
        if scores.novelty > 1 and not one_energy:
            said.append(reasons.novel(scores.novelty))
        if opaque and not hidden and verdict != "rescan":
            said.append(reasons.opaque_explained(opaque, declaration))
        said += reasons.fidelity(scan.fidelity, quality)
        if scan.fidelity == "dual" and quality.one_energy_fraction > 0.05:
            said.append(reasons.one_energy_only(quality))
    return Decision(verdict, tuple(said), tuple(regions), tuple(opaque))


def explains_opaque(declaration: Declaration | None, kind: Kind) -> bool:
    """Whether the declared goods may honestly let nothing through on a scanner of the kind.

    The code must be of a chapter of massive goods and expect a dense family, or the words must name one.
    """
    if declaration is None:
        return False
    if explains(declaration, "lead"):
        return True
    code = declaration.hs_code
    light = bool(code) and int((code or "")[:2]) in LIGHT_CHAPTERS
    told = Declaration(description=declaration.description) if light else declaration
    return any(explains(told, family) for family in DENSE[kind])


def verdict_of(scan: Scan, scores: Scores, quality: Quality, threshold: float) -> Verdict:
    """Decide, and put the decision into the form of the JSON line."""
    decision = decide(scan, scores, quality, threshold)
    contract = scores.model.contract
    figures: dict[str, Any] = dict(quality.figures())
    figures["novelty"] = _number(scores.novelty, 4)
    figures["unpenetrated"] = [
        {"box": list(o.box), "area_cm2": None if o.area_cm2 is None else round(o.area_cm2, 1)} for o in decision.opaque
    ]
    ranked = sorted(zip(contract.families, scores.materials.tolist(), strict=True), key=lambda m: -m[1])
    return Verdict(
        path=scan.path,
        sha256=scan.sha256,
        verdict=decision.verdict,
        score=scores.score,
        threshold=threshold,
        materials=tuple(ranked),
        regions=decision.regions,
        reasons=decision.reasons,
        quality=figures,
        declared=scan.declaration,
        model={"name": contract.name, "version": contract.version, "sha256": scores.model.sha256},
        provider=scores.model.provider,
        elapsed_ms=0.0,
    )


def _declared_explains(
    probability: dict[str, float], declared: Iterable[str], undeclared: Iterable[str], contract: Any
) -> bool:
    """Whether what was found is the declared watch-list material and no other is likely beside it."""
    found = max(probability[f] for f in declared)
    beside = max((probability[f] for f in undeclared), default=0.0)
    return found > beside and beside < contract.evidence_threshold


def _unreadable(scan: Scan, quality: Quality) -> list[str]:
    """Why the pixels cannot be trusted at all, empty if they can."""
    said = []
    if quality.unpenetrated_fraction > NO_READING:
        said.append(reasons.no_reading(quality))
    if quality.channels_swapped:
        said.append(reasons.swapped())
    if quality.noise > NOISIEST:
        said.append(reasons.noisy(quality.noise, NOISIEST))
    if quality.clipped_fraction > CLIPPED:
        said.append(reasons.clipped(quality.clipped_fraction))
    if quality.dead_lines > DEAD_LINES * sum(scan.shape):
        said.append(reasons.dead_lines(quality.dead_lines))
    if not math.isnan(quality.open_beam) and not OPEN_BEAM[0] <= quality.open_beam <= OPEN_BEAM[1]:
        said.append(reasons.open_beam(quality.open_beam))
    return said


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _significant(value: float) -> float | None:
    """Three significant digits: a mass is not known better."""
    return float(f"{value:.3g}") if math.isfinite(value) else None
