"""How the work is shared: whatever is measured, on the CPU no plan changes a bit of a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leadline.inference.rescore import sources, tune
from leadline.inference.rescore.item import Item, Job, job_identity
from leadline.inference.rescore.tune import Plan
from leadline.inference.rescore.worker import Worker
from leadline.inference.screening import Settings


@pytest.fixture(scope="module")
def items(scans: Path) -> list[Item]:
    return list(sources.items(str(scans)))


def job(provider: str | None = None) -> Job:
    """With the released models."""
    return Job(Settings(), None, provider, "verdict", job_identity(Settings(), None, "verdict"), "run")


def bodies(job: Job, items: list[Item]) -> list[str]:
    worker = Worker(job)
    found = [json.dumps(result.event.body) for result in worker.run(items) if result.event is not None]
    worker.close()
    assert len(found) == len(items)
    return found


@pytest.mark.parametrize("cores", [1, 2, 8])
@pytest.mark.parametrize("workers", [None, 1, 2, 3])
def test_what_may_be_chosen_on_the_cpu(cores: int, workers: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "available_cores", lambda: cores)
    usual = tune.default(job(), workers)
    found = tune.plans(job(), usual, workers is not None)
    assert found[0] == usual
    assert len(found) == len(set(found)) > 1
    assert {plan.readers for plan in found} == {0, tune.READERS}
    assert {plan.workers for plan in found} <= ({workers} if workers else {cores, max(1, cores // 2)})
    for plan in found:
        applied = tune.apply(job(), plan)
        assert (applied.threads, applied.batch) == (1, 1)


def test_every_plan_gives_the_same_bytes(items: list[Item]) -> None:
    """With the released model, whose last bits do depend on batches and threads. A plan's workers share nothing."""
    alone = [body for item in items for body in bodies(job(), [item])]
    for plan in tune.plans(job(), tune.default(job(), None), False):
        assert bodies(tune.apply(job(), plan), items) == alone, str(plan)


def test_an_accelerator_may_take_several_at_a_time() -> None:
    plans = tune.plans(job("CUDAExecutionProvider"), Plan(4, readers=2), True)
    assert [(plan.workers, plan.batch, plan.readers) for plan in plans] == [(4, 1, 2), (4, 2, 2), (4, 4, 2)]


def test_the_fastest_is_taken_if_it_is_clearly_faster(items: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Plan(2)
    for rate, chosen in ((10.4, usual), (10.6, Plan(2, readers=2))):
        monkeypatch.setattr(tune, "_rate", lambda job, *_, rate=rate: rate if job.readers else 10.0)
        found = tune.measured(job(), items[:4], usual, fixed=True)
        assert (found.workers, found.readers) == (chosen.workers, chosen.readers)
        assert [name for name, _ in found.rates] == [
            "2 workers with 0 reading threads",
            "2 workers with 2 reading threads",
        ]


def test_a_sample_of_broken_scans_measures_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 broken")
    found = list(sources.items(str(tmp_path)))
    assert tune.measured(job(), found, Plan(2), fixed=False) == Plan(2)


def test_measuring_takes_place_in_a_process_of_its_own(items: list[Item]) -> None:
    found = tune.choose(job(), items, None)
    assert found.rates
    assert all(rate > 0 for _, rate in found.rates)
    assert found.batch == 1
