"""Named settings of a fit: `quick` proves the path in a minute or two, `release` makes a model to ship."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from leadline.datasets.scan import Kind, LeadlineError
from leadline.models.network import config_for
from leadline.training.fit import FitConfig


@dataclass(frozen=True)
class Preset:
    """What `leadline train` and `leadline export` do unless told otherwise.

    Attributes:
        minutes: of fitting.
        validation: scans watched while fitting.
        validate_every: steps between.
        network: changes to the released network.
        canvas: rows and columns, pixels; (0, 0) = the kind's own.
        batch: scans a step.
        average: decay of the running mean of weights.
        calibration: scenes for the calibration.
        heads: scenes on which the scan-level heads are refitted at the end.
    """

    minutes: float
    validation: int
    validate_every: int
    network: dict
    canvas: tuple[int, int]
    batch: int
    average: float
    calibration: int
    heads: int


PRESETS = {
    "quick": Preset(
        1.0, 24, 50, {"widths": (16, 32, 32, 48), "blocks": (0, 1, 1, 1), "decoder": 32}, (0, 0), 8, 0.9, 60, 40
    ),
    "release": Preset(55.0, 128, 500, {}, (0, 0), 8, 0.998, 1500, 2500),
}


def fit_config(kind: Kind, preset: str, out: Path, **changes: object) -> FitConfig:
    """The fit of a preset; `changes` replace settings of `FitConfig`, `None` leaves them.

    Raises:
        LeadlineError: no such preset.
    """
    if preset not in PRESETS:
        raise LeadlineError(f"--preset {preset}: unknown; choose one of {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    base = FitConfig(
        network=config_for(kind, **chosen.network),
        out=out,
        minutes=chosen.minutes,
        validation=chosen.validation,
        validate_every=chosen.validate_every,
        canvas=chosen.canvas,
        batch=chosen.batch,
        average=chosen.average,
        reuse=3.0 if kind == "container" else 1.5,
    )
    return replace(base, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
