"""What a network is told of the beam."""

import numpy as np
import pytest

from leadline.datasets.beam import beam
from leadline.datasets.scan import Scanner


@pytest.mark.parametrize(
    ("kind", "label", "energy"),
    [
        ("parcel", "160 kV", 1.6),
        ("parcel", "160kVp", 1.6),
        ("parcel", " 140.5 keV ", 1.405),
        ("parcel", "160/80 kV", 1.6),
        ("container", "6 MV", 1.2),
        ("container", "9/6 MeV", 1.8),
    ],
)
def test_labels_of_vendors(kind, label, energy) -> None:
    assert beam(Scanner(kind, high=label)) == pytest.approx([energy, 1])


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("parcel", None),
        ("parcel", "high"),
        ("parcel", "6 MV"),  # not a parcel scanner's
        ("parcel", "20 kV"),
        ("container", "60 MV"),
        ("container", "160 kV"),
        (None, "160 kV"),
    ],
)
def test_what_says_nothing_is_unknown(kind, label) -> None:
    told = beam(Scanner(kind, high=label))
    assert told.dtype == np.float32
    assert not told.any()
