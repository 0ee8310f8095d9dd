"""`leadline rescore`: a whole archive into a ledger."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leadline.datasets.options import NumberRange
from leadline.inference.interruption import INTERRUPTED, Interruption

if TYPE_CHECKING:
    from leadline.inference.rescore.item import Item
    from leadline.inference.rescore.manifest import Manifest

SOME_FAILED, WRONG_USE, CEILING, STUCK = 1, 2, 3, 4
"""Exit codes."""

MOST_LOST = 5
"""So many wrong paths of a manifest are told one by one."""


@click.command(short_help="Screen a whole archive into a ledger.")
@click.argument("sources", metavar="SOURCE", nargs=-1, required=True)
@click.option(
    "--ledger",
    "ledger_place",
    metavar="LEDGER",
    required=True,
    help="A file, or postgresql://user@host/database, the password in PGPASSWORD or ~/.pgpass.",
)
@click.option("--manifest", metavar="FILE", help="Declared goods: CSV or Parquet with path, hs_code, description.")
@click.option("--model", metavar="FILE", type=click.Path(path_type=Path), help="A model in place of the released ones.")
@click.option("--shadow", is_flag=True, help="Record as a candidate's verdicts, apart from the operational ones.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--address", metavar="HOST:PORT", help="Ray cluster to use; without it, one on this machine.")
@click.option("--workers", metavar="N", type=click.IntRange(1, 4096), help="Worker processes; measured without it.")
@click.option("--limit-failures", metavar="P", default="50%", show_default=True, help="Stop above 5% or 100 failures.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed in an earlier run.")
@click.option(
    "--timeout", metavar="SECONDS", type=NumberRange(min=1), default=300, show_default=True,
    help="A scan that takes longer is a failure.",
)  # fmt: skip
@click.option("--threshold", metavar="SCORE", type=NumberRange(0, 1), help="Least score that alarms.")
@click.option("--false-alarm-rate", metavar="RATE", type=NumberRange(0, 1), help="The model's threshold for it.")
@click.option("--provider", metavar="NAME", help="ONNX Runtime provider, such as cuda; without it: cpu.")
@click.option("--scanner", type=click.Choice(["parcel", "container"]), help="For files that do not say it.")
@click.option("--profile", metavar="FILE", type=click.Path(path_type=Path), help="Profile of a calibrated scanner.")
@click.option("--pseudocolour", is_flag=True, help="Read 8-bit pictures as a vendor's pseudo-colour.")
@click.option("--palette", metavar="NAME|FILE", help="Palette for --pseudocolour, as for `leadline screen`.")
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.pass_context
def rescore(
    ctx: click.Context,
    sources: tuple[str, ...],
    ledger_place: str,
    manifest: str | None,
    model: Path | None,
    shadow: bool,
    engine: str,
    address: str | None,
    workers: int | None,
    limit_failures: str,
    retry_failed: bool,
    timeout: float,
    threshold: float | None,
    false_alarm_rate: float | None,
    provider: str | None,
    scanner: str | None,
    profile: Path | None,
    pseudocolour: bool,
    palette: str | None,
    quiet: bool,
) -> None:
    """Screen a whole archive; every verdict and every failure becomes a row of a ledger.

    SOURCE is a folder, a tar or zip archive, a list (.txt), a manifest (.csv, .parquet), or a URL such as
    s3://bucket/prefix. Run the same command again after any interruption: it goes on where it was.

    \b
    Examples:
      leadline rescore archive/ --ledger cargo.ledger
      leadline rescore s3://scans/2026 --ledger postgresql://customs@db/cargo --manifest goods.parquet
      leadline rescore archive/ --ledger cargo.ledger --model candidate.onnx --shadow

    Exit code: 0 all were screened, 1 some could not be, or a line of --manifest meets no scan, 2 wrong use, 3 too
    many failures, 4 stopped by the ledger, its disk or the workers, 130 interrupted.
    """
    if threshold is not None and false_alarm_rate is not None:
        raise click.UsageError("--threshold and --false-alarm-rate exclude each other; give one of them")
    if address is not None and engine != "ray":
        raise click.UsageError("--address: is for --engine ray; add that, or leave it out")
    if palette is not None and not pseudocolour:
        raise click.UsageError("--palette: maps the colours of 8-bit pictures; give --pseudocolour with it")
    from leadline.inference.rescore.pipeline import Ceiling

    try:
        ceiling = Ceiling.parse(limit_failures)
    except ValueError as error:
        raise click.UsageError(
            f"--limit-failures {limit_failures}: is neither like 5% nor like 100 ({error})"
        ) from None
    # Only now, so that --help and mistakes in the options answer at once.
    from leadline.datasets.formats.palette import palette as palette_of
    from leadline.datasets.scan import LeadlineError
    from leadline.inference.calibration.profile import read_profile
    from leadline.inference.engine import CPU, Engine, resolve_provider
    from leadline.inference.ledger import Ledger
    from leadline.inference.rescore import sources as places
    from leadline.inference.rescore.item import Job, job_identity
    from leadline.inference.rescore.manifest import Manifest
    from leadline.inference.rescore.pipeline import Run, TooManyFailures
    from leadline.inference.rescore.progress import Progress
    from leadline.inference.rescore.stores import public
    from leadline.inference.screening import Settings

    known = None if profile is None else read_profile(profile)
    colours = None if palette is None else palette_of(palette)  # read once: its file may lie on this machine alone
    settings = Settings(threshold, false_alarm_rate, scanner, pseudocolour, known, colours)  # type: ignore[arg-type]
    found = resolve_provider(provider)
    if model is not None or known is not None:
        settings.threshold_of(
            Engine(model, None, 1).model_for(known.scanner if known else None)
        )  # what is wrong with it shows before anything else
    kind: Any = "shadow" if shadow else "verdict"
    job = Job(settings, model, None if found == CPU else found, kind, job_identity(settings, model, kind), _name(),
              timeout_s=timeout)  # fmt: skip
    interruption = Interruption()
    with ExitStack() as stack:
        declared = stack.enter_context(Manifest(manifest)) if manifest else None
        ledger = stack.enter_context(Ledger.open(ledger_place))
        run = Run(ledger, job, ceiling, retry_failed, lambda text: progress.say(text), interruption.asked)
        progress = Progress(run.tally, lambda: _sum(places.estimate(s) for s in sources), quiet)
        items: Iterator[Item] = (i for s in sources for i in places.items(s, pseudocolour=pseudocolour))
        code = 0
        with progress, interruption:
            try:
                for _ in _work(stack, run, places.declare(items, declared), engine, address, workers, progress):
                    progress.step()
            except KeyboardInterrupt:
                pass  # asked twice: told below
            except TooManyFailures as error:
                code = _told(error, CEILING)
            except LeadlineError as error:
                if not run.tally.done and not interruption.asked():
                    raise
                text = f"{error}\nwhat was recorded is safe; the same command goes on from here"
                code = _told(text, INTERRUPTED if interruption.asked() else STUCK)
        if not quiet:
            click.echo(progress.summary(), err=True)
        if not code and interruption.asked():
            click.echo("interrupted; what was screened is recorded, the same command goes on from here", err=True)
            code = INTERRUPTED
        failed = run.tally.failed + run.tally.known_failed
        lost = _lost(declared, progress.say) if declared is not None and not code else 0
        if failed and not quiet:
            for reason in run.tally.last_errors:
                progress.say(f"failed: {reason}")
        if not code and not run.tally.done:
            raise click.UsageError(f"{', '.join(map(public, sources))}: no scans in there")
    ctx.exit(code or (SOME_FAILED if failed or lost else 0))


def _work(
    stack: ExitStack, run: Any, items: Any, engine: str, address: str | None, workers: int | None, progress: Any
) -> Any:
    """Start the engine, and run."""
    from itertools import chain, islice

    from leadline.inference.rescore import tune
    from leadline.inference.rescore.pipeline import BULK
    from leadline.inference.rescore.pool import Pool

    if engine == "ray":
        from leadline.inference.rescore.cluster import Cluster

        cluster = Cluster(run.job, address, workers, run.stopping)
        stack.callback(cluster.close)
        yield from run.go(items, cluster)
        return
    fresh = run.fresh(items)
    sample = list(islice(fresh, tune.SAMPLE))
    # Members that come with their bytes would be in memory all at once for the process that measures.
    light = sum(item.held for item in sample) < BULK
    plan = tune.choose(run.job, sample if light else [], workers)
    if plan.rates:
        progress.say(f"measured: {plan}")
    run.job = tune.apply(run.job, plan)
    pool = Pool(run.job, min(plan.workers, max(len(sample), 1)), run.stopping)
    stack.callback(pool.close)
    yield from run.go_on(chain(sample, fresh), pool)


def _lost(manifest: Manifest, say: Callable[[str], None]) -> int:
    """Tell of the manifest's lines that spoke of no scan; return how many of them name what is nowhere."""
    lost = left_out = 0
    for line in manifest.unused():
        if os.path.exists(line.path):
            left_out += 1
            continue
        lost += 1
        if lost <= MOST_LOST:
            say(f"{manifest.name} line {line.line}: {line.path} is no scan of the sources; correct the path")
    if lost > MOST_LOST:
        say(f"{manifest.name}: {lost - MOST_LOST} more of its lines meet no scan of the sources")
    if left_out:
        say(f"{manifest.name}: {left_out} of its scans were not in the sources, and not screened")
    return lost


def _sum(counts: Iterator[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(n for n in known if n is not None)


def _told(error: object, code: int) -> int:
    from leadline.inference.ledger.events import plain

    click.echo("\n".join(plain(line, 2000) for line in f"Error: {error}".splitlines()), err=True)
    return code


def _name() -> str:
    return secrets.token_hex(8)
