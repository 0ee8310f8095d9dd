"""The released files themselves, on the bundled examples."""

from pathlib import Path

import numpy as np
import pytest

from leadline.datasets.formats import read_scan
from leadline.inference.engine import Engine

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("kind", ["parcel", "container"])
def test_the_embedding_tells_scans_apart(kind: str) -> None:
    """Novelty and the search for similar scans rest on it; it once was the same for every scan."""
    engine = Engine()
    found = [engine.score(read_scan(path)) for path in sorted(EXAMPLES.glob(f"{kind}_*.tif"))]
    spread = np.stack([scores.embedding for scores in found]).std(0)
    assert len(found) >= 3
    assert np.median(spread) > 0.05
    assert all(0 < scores.novelty < 1 for scores in found)
