import numpy as np
import pytest
import torch

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration
from leadline.training.targets import UNSURE, CellRule, Example, cell_targets, redeclare

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
        np.ones((2, 4, 4), np.float32), np.zeros((len(NAMES), 4, 4), np.float16), declaration, watched, True, "x"
    )


def test_label_follows_the_declaration() -> None:
    rng = np.random.default_rng(0)
    honest = example(Declaration("284690", "neodymium oxide"), ("rare_earth_oxide",))
    lie = example(Declaration("381600", "tile adhesive"), ("rare_earth_magnet",))
    silent = example(None, ("antimony",))
    empty = example(None, ())
    assert [redeclare(e, rng, 0.0, 0.0)[1] for e in (honest, lie, silent, empty)] == [False, True, True, False]
    assert redeclare(honest, rng, 0.0, 0.0)[0][[NAMES.index("rare_earth_oxide"), -1]].tolist() == [1, 1]


def test_a_withheld_declaration_makes_honest_oxide_undeclared() -> None:
    honest = example(Declaration("284690", "neodymium oxide"), ("rare_earth_oxide",))
    vector, label = redeclare(honest, np.random.default_rng(0), 1.0, 0.0)
    assert label and not vector.any()


def test_a_confessed_threat_is_declared() -> None:
    lie = example(Declaration("381600", "tile adhesive"), ("rare_earth_magnet",))
    vector, label = redeclare(lie, np.random.default_rng(0), 0.0, 1.0)
    assert not label
    assert vector[[NAMES.index("rare_earth_magnet"), -1]].tolist() == [1, 1]
