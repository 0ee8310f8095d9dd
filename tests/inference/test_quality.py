"""Image quality against pictures whose noise, dark places and faults are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leadline.datasets.formats import read_scan
from leadline.datasets.scan import Scan
from leadline.inference.quality import CELL, assess

Picture = Callable[..., Scan]


def changed(scan: Scan, values: np.ndarray) -> Scan:
    return replace(scan, transmission=np.ascontiguousarray(values, dtype=np.float32))


def test_a_sound_scan(picture: Picture) -> None:
    quality = assess(picture(shape=(200, 300), boxes=((100, 50, 200, 150, 1.0),), noise=0.01))
    assert quality.unpenetrated_fraction == 0
    assert quality.noise == pytest.approx(0.01, rel=0.15)
    assert quality.goods_noise == pytest.approx(0.01 * np.exp(0.5), rel=0.15)
    assert quality.open_beam == pytest.approx(1, abs=0.01)
    assert quality.air_fraction == pytest.approx(1 - 100 * 100 / 60000, abs=0.03)
    assert quality.dual
    assert not quality.channels_swapped
    assert not quality.empty
    assert (quality.clipped_fraction, quality.dead_lines) == (0, 0)


def test_noise_cut_off_at_open_beam_is_no_clipping(picture: Picture) -> None:
    scan = picture(shape=(200, 300))
    assert assess(changed(scan, np.minimum(scan.transmission, 1))).clipped_fraction == 0


def test_a_signal_cut_off_below_open_beam_is(picture: Picture) -> None:
    scan = picture(shape=(200, 300), boxes=((0, 0, 150, 200, 0.5),))
    assert assess(changed(scan, np.minimum(scan.transmission, 0.8))).clipped_fraction == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("pedestal", [0.0, 0.002])
def test_what_nothing_penetrates(picture: Picture, pedestal: float) -> None:
    """Nothing but scatter behind a box: the same in both channels, unlike what comes through goods."""
    scan = picture(shape=(240, 320), boxes=((40, 40, 160, 200, 15.0), (200, 40, 300, 200, 3.0)), noise=0.003)
    scatter = pedestal * (1 + 0.02 * np.random.default_rng(1).standard_normal(scan.transmission.shape))
    quality = assess(changed(scan, scan.transmission + scatter))
    assert quality.unpenetrated_fraction == pytest.approx(120 * 160 / (240 * 320), rel=0.1)
    inside = quality.opaque[44 // CELL : 196 // CELL, 44 // CELL : 156 // CELL]
    assert inside.mean() > 0.95
    assert not quality.opaque[:, 204 // CELL :].any()


def test_what_only_the_high_energy_penetrates(picture: Picture) -> None:
    scan = picture(shape=(240, 320), boxes=((40, 40, 280, 200, 5.2),), noise=0.002)  # T = 0.0055 and 0.00024
    quality = assess(scan)
    assert quality.unpenetrated_fraction == 0
    assert quality.one_energy_fraction > 0.9


def test_dead_lines_are_no_goods(picture: Picture) -> None:
    scan = picture(shape=(240, 320))
    values = scan.transmission.copy()
    values[:, :, 100:103] = 0
    values[:, -8:] = 0
    quality = assess(changed(scan, values))
    assert quality.dead_lines == 11
    assert quality.unpenetrated_fraction == 0


@pytest.mark.parametrize("axis", [0, 1], ids=["row", "column"])
def test_a_line_is_dead_from_the_ninety_ninth_of_a_hundred_pixels(picture: Picture, axis: int) -> None:
    """Every third pixel is looked at: of 300 pixels 100, of which two that read something are enough to live."""
    scan = picture(shape=(300, 300))
    values = scan.transmission.copy()
    lines = np.moveaxis(values, axis + 1, 1)
    lines[:, 40], lines[:, 50], lines[:, 60] = 0, 0, 0
    lines[:, 40, [3, 6]] = 0.5
    lines[:, 50, [150]] = 0.5
    assert assess(changed(scan, values)).dead_lines == 2


def test_swapped_channels(picture: Picture) -> None:
    scan = picture(shape=(240, 320), boxes=((40, 40, 280, 200, 1.5),))
    assert assess(changed(scan, scan.transmission[::-1])).channels_swapped


def test_one_energy_is_not_taken_for_scatter(picture: Picture) -> None:
    scan = picture(shape=(240, 320), boxes=((40, 40, 280, 200, 5.5),), noise=0.002)  # T = 0.004
    single = replace(changed(scan, scan.transmission[[0, 0]]), fidelity="single")
    quality = assess(single)
    assert not quality.dual
    assert quality.unpenetrated_fraction == 0
    assert not quality.channels_swapped


def test_an_empty_picture(picture: Picture) -> None:
    assert assess(picture(boxes=())).empty
    assert not assess(picture(boxes=((0, 0, 128, 96, 0.1),))).empty


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (35, 400), (641, 33)])
def test_any_size(picture: Picture, shape: tuple[int, int]) -> None:
    quality = assess(picture(shape=shape, boxes=((5, 5, 25, 25, 20.0),)))
    figures = quality.figures()
    assert figures.pop("fidelity") == "dual"
    assert all(v is None or np.isfinite(v) for v in figures.values())


@pytest.mark.parametrize(("name", "least", "most"), [("6", 0.25, 0.5), ("10", 0.1, 0.5), ("8", 0.0, 0.02)])
def test_real_containers(real_scans: Path, name: str, least: float, most: float) -> None:
    """Stacks of 6 and 10 let nothing through; the big bags of 8 let 0.3 % through, above the noise."""
    quality = assess(read_scan(real_scans / "cargo_dual_6_4MeV" / f"{name}.npy", scanner="container"))
    assert least < quality.unpenetrated_fraction < most
    assert 0.01 < quality.noise < 0.03
    assert quality.dead_lines == 7  # below the picture
    assert not quality.channels_swapped
    assert quality.clipped_fraction == 0
