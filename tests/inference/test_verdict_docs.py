"""`docs/verdicts.md` gives the figures of the code."""

from pathlib import Path

import pytest

from leadline.inference import quality, verdict
from leadline.inference.quality import Quality

PAGE = " ".join((Path(__file__).resolve().parents[2] / "docs" / "verdicts.md").read_text("utf-8").split())
AREA, PIXELS = verdict.LEAST_OPAQUE_CM2, verdict.LEAST_OPAQUE_PIXELS


@pytest.mark.parametrize(
    "told",
    [
        f"| {AREA['parcel']:.0f} cm² | {AREA['container']:.0f} cm² |",
        f"| {PIXELS['parcel']} pixels | {PIXELS['container']} pixels |",
        f"({quality.OPAQUE_BELOW['parcel']:.0e} for parcels".replace("e-04", "e-4"),
        f"{quality.OPAQUE_BELOW['container']:.0e} for containers".replace("e-04", "e-4"),
        f"below {quality.SCATTER['parcel'][0]} for parcels, {quality.SCATTER['container'][0]} for containers",
        f"at least {quality.SCATTER['parcel'][1]} (parcels) or {quality.SCATTER['container'][1]} (containers)",
        f"| above {verdict.NO_READING} |",
        f"| above {verdict.MOSTLY} |",
        f"| above {verdict.NOISIEST} |",
        f"| above {verdict.CLIPPED} |",
        f"| outside {verdict.OPEN_BEAM[0]} to {verdict.OPEN_BEAM[1]} |",
        f"A cell of {quality.CELL} × {quality.CELL} pixels",
    ],
)
def test_figures(told: str) -> None:
    assert told in PAGE


@pytest.mark.parametrize("name", [n for n in Quality.__annotations__ if n not in ("dual", "empty", "opaque")])
def test_every_figure_of_quality_is_told(name: str) -> None:
    assert f"| `{name}` |" in PAGE
