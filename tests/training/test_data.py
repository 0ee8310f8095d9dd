from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from leadline.datasets.appearance import APPEARANCE
from leadline.datasets.materials import catalogue
from leadline.datasets.simulator.simulate import build_scene
from leadline.models.config import NetworkConfig
from leadline.models.features import halve, pool_pixels
from leadline.training.augment import Augment, augment_config
from leadline.training.data import Scans, Stream, StreamConfig, collate, fixed_batches, loader

CANVAS = (160, 200)


@pytest.fixture(scope="module")
def config(tiny: NetworkConfig) -> StreamConfig:
    return StreamConfig(tiny, seed=3, batch=5, canvas=CANVAS, reuse=2.0)


def first_pair(config: StreamConfig) -> int:
    return next(k for k in range(50) if build_scene("parcel", config.seed, k).has_threat)


def test_a_threat_and_its_twin_differ_where_the_threat_is_and_nowhere_else(config: StreamConfig) -> None:
    source, seen = Scans(config), []
    for index in range(12):
        group = source[index]
        if len(group) == 1:
            assert not group[0].threat
            continue
        threat, honest = group
        assert threat.threat and not honest.threat
        assert threat.scenario == honest.scenario and threat.declaration == honest.declaration
        changed = np.abs(threat.areal.astype(np.float32) - honest.areal.astype(np.float32)).sum(0) > 0
        assert changed.any() and not changed.all()
        near = (
            torch.nn.functional.max_pool2d(torch.from_numpy(changed[None].astype(np.float32)), 9, 1, 4)[0].numpy() > 0
        )
        apart = np.abs(threat.transmission - honest.transmission).max(0)
        assert np.median(apart[~near]) < 0.005  # scatter reaches everywhere
        seen.append(float(apart[changed].max()))
    assert len(seen) > 3 and max(seen) > 0.05  # where the beam penetrates, the threat shows


def test_scans_are_a_function_of_their_number(config: StreamConfig) -> None:
    one, two = Scans(config)[7], Scans(config)[7]
    assert [np.array_equal(a.transmission, b.transmission) for a, b in zip(one, two, strict=True)] == [True] * len(one)


def test_kept_scenes_are_scanned_anew(config: StreamConfig, tmp_path: Path) -> None:
    kept = Scans(replace(config, scenes=2, folder=tmp_path))
    first, again = kept[0][-1], kept[2][-1]
    np.testing.assert_allclose(first.areal, again.areal, rtol=2e-3)
    assert not np.array_equal(first.transmission, again.transmission)
    assert len(list(tmp_path.rglob("*.scene"))) == 1


def test_batches_hold_what_they_say(config: StreamConfig) -> None:
    families = len(catalogue().names)
    rows, columns = config.pooled_canvas
    cells = -(-rows // 2), -(-columns // 2)
    pairs = 0
    for batch in islice(Stream(config), 4):
        assert batch["transmission"].shape == (5, 2, rows, columns)
        assert batch["cells"].shape == (5, families, *cells) and batch["areal"].shape == (5, 2, *cells)
        assert batch["said"].shape == (5, families + 1 + APPEARANCE)
        assert batch["beam"].shape == (5, 2)
        assert batch["transmission"].min() >= 0 and batch["transmission"].max() <= 1.15
        for k, twin in enumerate(batch["twin"].tolist()):
            if twin >= 0:
                pairs += 1
                assert twin == k + 1
        there = (batch["cells"] == 1).sum((2, 3)) >= 2
        assert torch.equal(there.float(), batch["present"])
    assert pairs > 0


def test_same_seed_same_batches_and_another_start_others(config: StreamConfig) -> None:
    one, two, later = (next(iter(Stream(replace(config, first=f)))) for f in (0, 0, 100))
    assert all(torch.equal(one[k], two[k]) for k in one)  # type: ignore[literal-required]
    assert not torch.equal(one["transmission"], later["transmission"])


def test_cutting_the_threat_away_makes_the_scan_honest(config: StreamConfig) -> None:
    threat, _ = Scans(config)[first_pair(config)]
    rng = np.random.default_rng(0)
    far = replace(config, canvas=(8, 8))
    labels = set()
    for seed in range(12):
        augment = Augment(replace(augment_config("parcel", far.pooled_canvas), warp=0.0), seed)
        batch = collate([[threat]], replace(far, drop=1.0), rng, augment)
        seen = float(batch["areal"][0, 1].sum()) > 0
        labels.add((float(batch["undeclared"][0]), seen))
        assert batch["weight"][0] == 1 or seen
    assert (0.0, False) in labels and (1.0, False) not in labels


def test_pooled_targets_agree_with_the_scan(config: StreamConfig) -> None:
    source = Scans(config)
    index = first_pair(config)
    given = source[index][0]
    assert given.transmission.shape[1:] == given.areal.shape[1:]
    full = torch.rand(1, 2, 61, 83)
    assert pool_pixels(full, config.network).shape == halve(full, config.network.pool).shape


def test_validation_is_fixed_and_keeps_declarations(config: StreamConfig) -> None:
    a, b = (fixed_batches(replace(config, split="validation"), 8) for _ in range(2))
    assert sum(len(x["twin"]) for x in a) >= 8
    for x, y in zip(a, b, strict=True):
        assert all(torch.equal(x[k], y[k]) for k in x)  # type: ignore[literal-required]


@pytest.mark.slow
def test_workers_share_the_scenes(config: StreamConfig) -> None:
    batches = list(islice(loader(config, 2), 3))
    assert len(batches) == 3
    assert not torch.equal(batches[0]["transmission"], batches[1]["transmission"])
