"""The policy, row by row."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from leadline.datasets.scan import Declaration, Scan
from leadline.inference.engine import Scores
from leadline.inference.quality import Quality, assess
from leadline.inference.verdict import Decision, decide, verdict_of

Picture = Callable[..., Scan]
Answers = Callable[..., Scores]

TILES = Declaration("690721", "ceramic tiles")
ADHESIVE = Declaration("382450", "tile adhesive")
LEAD = Declaration("780199", "lead ingots")
ANTIMONY = Declaration("811010", "antimony ingots")
DOLLS = Declaration("950300", "plastic dolls")
OPAQUE = ((8, 6, 120, 90, 0.5), (20, 20, 76, 76, 20.0))
SOUND = ((30, 20, 90, 60, 1.0),)


@dataclass(frozen=True)
class Row:
    """One case: what came in, and what must come out."""

    name: str
    verdict: str
    kind: str = "parcel"
    score: float = 0.1
    declared: Declaration | None = None
    found: str | None = None
    materials: dict[str, float] | None = None
    boxes: tuple = SOUND
    novelty: float = 0.2
    fidelity: str = "dual"
    quality: dict[str, Any] | None = None
    says: tuple[str, ...] = ()
    never_says: tuple[str, ...] = ()


ROWS = [
    Row("nothing found, nothing declared", "clear", says=("No sign of undeclared", "0.100", "0.500")),
    Row("nothing found", "clear", declared=DOLLS),
    Row("below the threshold by a hair", "clear", score=0.49999),
    Row("at the threshold", "inspect", score=0.5, says=("likely", "0.500")),
    Row(
        "undeclared oxide",
        "inspect",
        score=0.97,
        found="rare_earth_oxide",
        declared=DOLLS,
        says=("rare-earth oxide", "90 %", "plastic dolls", "cm²", " g", "Barium"),
    ),
    Row("undeclared oxide, nothing declared", "inspect", score=0.97, found="rare_earth_oxide", says=("nothing is",)),
    Row(
        "antimony in a container: the energies cannot tell it from lead",
        "inspect",
        kind="container",
        score=0.97,
        found="antimony",
        declared=DOLLS,
        says=("antimony and lead have nearly the same energy ratio", "m²"),
    ),
    Row(
        "magnets in a container: told from iron only weakly",
        "inspect",
        kind="container",
        score=0.9,
        found="rare_earth_magnet",
        declared=ADHESIVE,
        says=("rare-earth magnet", "iron", "only weakly", "tile adhesive"),
    ),
    Row("an alarm with no place above the threshold still names one", "inspect", score=0.9, says=("region",)),
    Row(
        "declared antimony explains antimony",
        "clear",
        score=0.8,
        found="antimony",
        declared=ANTIMONY,
        says=("antimony", "explains it", "antimony ingots"),
        never_says=("No sign",),
    ),
    Row(
        "declared antimony does not explain oxide beside it",
        "inspect",
        score=0.8,
        found="rare_earth_oxide",
        materials={"antimony": 0.95},
        declared=ANTIMONY,
        says=("rare-earth oxide",),
    ),
    Row("opaque, nothing declared", "inspect", boxes=OPAQUE, says=("Nothing penetrates", "cm²", "nothing is declared")),
    Row("opaque dolls", "inspect", boxes=OPAQUE, declared=DOLLS, says=("Nothing penetrates", "does not explain")),
    Row("opaque lead", "clear", boxes=OPAQUE, declared=LEAD, says=("may honestly do", "not seen through")),
    Row("opaque antimony", "clear", boxes=OPAQUE, declared=ANTIMONY, says=("may honestly do",)),
    Row("opaque tiles in a parcel", "inspect", boxes=OPAQUE, declared=TILES, says=("does not explain",)),
    Row("opaque steel toys", "inspect", boxes=OPAQUE, declared=Declaration("950300", None), says=("does not explain",)),
    Row("opaque tools", "clear", boxes=OPAQUE, declared=Declaration("820320", None), says=("may honestly do",)),
    Row("opaque tungsten, in words", "clear", boxes=OPAQUE, declared=Declaration(None, "tungsten carbide tools")),
    Row("some opaque pixels are no region", "clear", boxes=((20, 20, 32, 32, 20.0), SOUND[0]), declared=DOLLS),
    Row(
        "opaque tiles in a container: 2.35 m of tiles are",
        "clear",
        kind="container",
        boxes=OPAQUE,
        declared=TILES,
        says=("may honestly do",),
    ),
    Row("opaque dolls in a container", "inspect", kind="container", boxes=OPAQUE, declared=DOLLS),
    Row("opaque and an alarm: both are said", "inspect", score=0.9, boxes=OPAQUE, says=("likely", "Nothing pene")),
    Row(
        "mostly opaque lead was not screened",
        "rescan",
        declared=LEAD,
        boxes=OPAQUE,
        quality={"unpenetrated_goods": 0.8},
        says=("80 %", "not screened", "higher energy"),
    ),
    Row("unlike anything", "rescan", novelty=1.4, says=("unlike", "1.4")),
    Row("unlike anything, and an alarm", "inspect", score=0.9, novelty=1.4, says=("likely", "unlike")),
    Row("unlike anything, and opaque", "inspect", novelty=1.4, boxes=OPAQUE, says=("Nothing penetrates", "unlike")),
    Row("too noisy", "rescan", quality={"noise": 0.3}, says=("noisy", "30 %")),
    Row(
        "too noisy for an alarm", "rescan", score=0.99, quality={"noise": 0.3}, says=("noisy",), never_says=("likely",)
    ),
    Row("clipped", "rescan", quality={"clipped_fraction": 0.2}, says=("clipped",)),
    Row("swapped", "rescan", score=0.99, quality={"channels_swapped": True}, says=("swapped",)),
    Row("dead lines", "rescan", quality={"dead_lines": 60}, says=("60 lines",)),
    Row("a few dead lines", "clear", quality={"dead_lines": 7}),
    Row("not normalised", "rescan", quality={"open_beam": 0.55}, says=("0.55", "calibrate")),
    Row("no air in the picture", "clear", quality={"open_beam": float("nan")}),
    Row(
        "no reading", "rescan", boxes=((0, 0, 128, 96, 20.0),), quality={"unpenetrated_fraction": 0.99}, says=("beam",)
    ),
    Row("one energy", "rescan", fidelity="single", says=("one energy", "cannot be told")),
    Row("one energy, score of no meaning", "rescan", fidelity="single", score=0.99, never_says=("likely",)),
    Row("one energy, opaque", "inspect", fidelity="single", boxes=OPAQUE, says=("Nothing penetrates", "one energy")),
    Row("colours", "clear", fidelity="pseudocolour", says=("colours", "16-bit")),
    Row("colours, alarm", "inspect", fidelity="pseudocolour", score=0.9, found="antimony", says=("likely", "colours")),
    Row("one energy in places", "clear", quality={"one_energy_fraction": 0.3}, says=("30 %", "only the high energy")),
]


def decided(row: Row, picture: Picture, answers: Answers) -> tuple[Scan, Scores, Quality, Decision]:
    scan = picture(row.kind, boxes=row.boxes, noise=0.002, declaration=row.declared, pixel_mm=None)
    pixel = {"parcel": 1.5, "container": 6.0}[row.kind]
    scan = replace(scan, fidelity=row.fidelity, scanner=replace(scan.scanner, pixel_mm=pixel))
    places = ((row.found, (5, 3, 11, 8), 0.9),) if row.found else ()
    scores = answers(row.kind, score=row.score, novelty=row.novelty, places=places, materials=row.materials, areal=3.0)
    quality = replace(assess(scan), **(row.quality or {}))
    return scan, scores, quality, decide(scan, scores, quality, 0.5)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_policy(row: Row, picture: Picture, answers: Answers) -> None:
    *_, decision = decided(row, picture, answers)
    said = " ".join(decision.reasons)
    assert decision.verdict == row.verdict, said
    assert decision.reasons
    for part in row.says:
        assert part in said
    for part in row.never_says:
        assert part not in said
    assert all(reason[0].isupper() or not reason[0].isalpha() for reason in decision.reasons)
    assert all(reason.endswith(".") for reason in decision.reasons)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_never_clear_where_something_large_was_not_seen_and_not_explained(
    row: Row, picture: Picture, answers: Answers
) -> None:
    scan, *_, decision = decided(row, picture, answers)
    if decision.opaque and (scan.declaration is None or scan.declaration == DOLLS):
        assert decision.verdict != "clear"


@pytest.mark.parametrize("score", [0.5, 0.8, 1.0])
def test_an_alarm_always_names_a_place(score: float, picture: Picture, answers: Answers) -> None:
    for row in ROWS:
        *_, decision = decided(replace(row, score=score), picture, answers)
        if decision.verdict == "inspect" and row.fidelity != "single" and not decision.opaque:
            assert decision.regions


@pytest.mark.parametrize("pixel_mm", [None, 1.5])
def test_the_record(pixel_mm: float | None, picture: Picture, answers: Answers) -> None:
    scan = picture(declaration=TILES, pixel_mm=pixel_mm)
    scores = answers(score=0.7, places=(("antimony", (5, 3, 11, 7), 0.912345),), areal=2.0)
    record = verdict_of(scan, scores, assess(scan), 0.5).after(12.3456).as_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["regions"] == [
        {
            "box": [20, 12, 44, 28],
            "family": "antimony",
            "probability": 0.9123,
            "mass_kg": None if pixel_mm is None else [0.0173, 0.0691],
        }
    ]
    assert record["declared"] == {"hs_code": "690721", "description": "ceramic tiles"}
    assert record["model"] == {"name": "by hand", "version": "0", "sha256": "f" * 64}
    assert record["elapsed_ms"] == 12.35
    assert (record["path"], record["score"], record["threshold"]) == ("scan.tif", 0.7, 0.5)
    assert record["quality"]["novelty"] == 0.2


def test_figures_that_are_none_are_null(picture: Picture, answers: Answers) -> None:
    scan = picture()
    quality = replace(assess(scan), open_beam=float("nan"), goods_noise=float("inf"))
    record = verdict_of(scan, answers(novelty=float("nan")), quality, 0.5).as_dict()
    assert record["quality"]["open_beam"] is None
    assert record["quality"]["goods_noise"] is None
    assert record["quality"]["novelty"] is None
    json.dumps(record, allow_nan=False)


def test_a_decision_looks_at_no_pixels(picture: Picture, answers: Answers) -> None:
    """The same quality and scores give the same decision, whatever the pixels."""
    scan = picture()
    quality, scores = assess(scan), answers(score=0.7, places=(("antimony", (5, 3, 11, 7), 0.9),))
    other = replace(scan, transmission=np.zeros_like(scan.transmission))
    assert decide(scan, scores, quality, 0.5) == decide(other, scores, quality, 0.5)
