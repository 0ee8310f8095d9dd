import numpy as np
import pytest
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.declarations import expected_families
from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, Kind
from leadline.datasets.simulator.scanner import Machine
from leadline.models.config import REFERENCES, config_for
from leadline.training.targets import (
    UNSURE,
    CellRule,
    Example,
    cell_targets,
    redeclare,
    said_vector,
    scanner_curves,
    typical_curves,
)

NAMES = catalogue().names
WATCHED = [NAMES.index(name) for name in catalogue().watched]
RULE = CellRule(areal=3.0, share=0.05)


def densities(**families: list[float]) -> torch.Tensor:
    """One row of cells, each of 2 x 2 pooled pixels, with these g/cm2."""
    count = len(next(iter(families.values())))
    areal = torch.zeros(len(NAMES), 2, 2 * count)
    for name, values in families.items():
        areal[NAMES.index(name)] = torch.tensor(values).repeat_interleave(2)
    return areal


def test_cells_are_there_not_there_or_unsure() -> None:
    # there; too thin; in between; enough, but a small share; nothing
    areal = densities(antimony=[3.0, 0.5, 2.0, 3.0, 0.0], steel=[0.0, 0.0, 0.0, 100.0, 5.0])
    labels, sums = cell_targets(areal, WATCHED, RULE)
    assert labels[NAMES.index("antimony"), 0].tolist() == [1, 0, UNSURE, UNSURE, 0]
    assert labels[NAMES.index("steel"), 0].tolist() == [0, 0, 0, 1, 1]
    assert sums[0, 0].tolist() == pytest.approx([3.0, 0.5, 2.0, 103.0, 5.0])
    assert sums[1, 0].tolist() == pytest.approx([3.0, 0.5, 2.0, 3.0, 0.0])


def test_cells_average_areal_density() -> None:
    areal = torch.zeros(len(NAMES), 3, 4)
    areal[WATCHED[0], 0, 0] = 8.0
    _, sums = cell_targets(areal, WATCHED, RULE)
    assert sums.shape == (2, 2, 2)
    assert sums[1].tolist() == [[2.0, 0.0], [0.0, 0.0]]


def example(declaration: Declaration | None, watched: tuple[str, ...]) -> Example:
    return Example(
        np.ones((2, 4, 4), np.float32),
        np.zeros((len(NAMES), 4, 4), np.float16),
        declaration,
        watched,
        True,
        "x",
        np.zeros((4, 8), np.float32),
        np.zeros(2, np.float32),
    )


def test_label_follows_the_declaration() -> None:
    rng = np.random.default_rng(0)
    honest = example(Declaration("284690", "neodymium oxide"), ("rare_earth_oxide",))
    lie = example(Declaration("381600", "tile adhesive"), ("rare_earth_magnet",))
    silent = example(None, ("antimony",))
    empty = example(None, ())
    assert [redeclare(e, rng, 0.0, 0.0)[1] for e in (honest, lie, silent, empty)] == [False, True, True, False]
    assert redeclare(honest, rng, 0.0, 0.0)[0][[NAMES.index("rare_earth_oxide"), len(NAMES)]].tolist() == [1, 1]


def test_a_withheld_declaration_makes_honest_oxide_undeclared() -> None:
    honest = example(Declaration("284690", "neodymium oxide"), ("rare_earth_oxide",))
    vector, label = redeclare(honest, np.random.default_rng(0), 1.0, 0.0)
    assert label and not vector.any()


def test_a_confessed_threat_is_declared() -> None:
    lie = example(Declaration("381600", "tile adhesive"), ("rare_earth_magnet",))
    vector, label = redeclare(lie, np.random.default_rng(0), 0.0, 1.0)
    assert not label
    assert vector[[NAMES.index("rare_earth_magnet"), len(NAMES)]].tolist() == [1, 1]


def test_a_declaration_is_told_with_the_look_of_its_goods() -> None:
    tiles, cement = Declaration("690721"), Declaration("252329")
    assert expected_families(tiles).tolist() == expected_families(cement).tolist()  # both are mineral
    fine, coarse = (said_vector(tiles, coarse=c) for c in (False, True))
    assert fine.shape == (len(NAMES) + 1 + APPEARANCE,)
    assert fine.tolist() != said_vector(cement).tolist()
    assert coarse.tolist() == said_vector(cement, coarse=True).tolist() != fine.tolist()
    honest = example(tiles, ())
    assert redeclare(honest, np.random.default_rng(0), 0.0, 0.0, coarse=1.0)[0].tolist() == coarse.tolist()


@pytest.mark.parametrize("kind", ["parcel", "container"])
def test_curves_are_what_the_scanner_gives_of_a_block(kind: Kind) -> None:
    config = config_for(kind)
    machine = Machine.draw(kind, np.random.default_rng(5))
    curves = scanner_curves(machine, config)
    assert curves.shape == (len(REFERENCES), len(config.knots))
    block = np.full((1, 1, 1), 5.0 if kind == "parcel" else 60.0, np.float32)  # g/cm2 of aluminium
    mean, _ = machine.mean(block, ["aluminium"])
    high, low = -np.log(mean.reshape(2))
    expected = (low - high) / (high + config.thin)
    assert np.interp(high, config.knots, curves[1]) == pytest.approx(expected, rel=0.03)


def test_typical_curves_lie_among_those_of_the_scanners() -> None:
    config = config_for("container")
    rng = np.random.default_rng(1)
    drawn = np.stack([scanner_curves(Machine.draw("container", rng), config) for _ in range(40)])
    typical = typical_curves(config)
    assert np.all(typical > drawn.min(0)) and np.all(typical < drawn.max(0))
