"""Screening files one after the other: reading ahead, scoring, judging; a bad file is a result, not the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from leadline.datasets.formats import read_scan
from leadline.datasets.formats.palette import Palette
from leadline.datasets.scan import Declaration, Kind, LeadlineError, Scan, ScanError
from leadline.inference.calibration.profile import Profile
from leadline.inference.cpu import available_cores
from leadline.inference.engine import CPU, Engine, Model, Scores, resolve_provider
from leadline.inference.quality import Quality, assess
from leadline.inference.verdict import Verdict, verdict_of
from leadline.models.contract import ModelError

READ_AHEAD = 2
"""Files that are read while another is scored: more would only take memory."""

MOST_AT_ONCE = 4
"""Files that are screened at once; each container scan more takes some 70 MB."""


@dataclass(frozen=True)
class Settings:
    """What the user chose.

    Attributes:
        threshold: least score that alarms; `None` takes the model's.
        false_alarm_rate: takes the model's threshold for this rate; `None` is the model's default.
        scanner: kind of scanner, for files that do not say it.
        pseudocolour: read 8-bit pictures as vendor pseudo-colour.
        profile: of the scanner, from `leadline calibrate`; `None` for scanners that were not calibrated.
        palette: for their colours, or its name or file; `None` takes that of the scanner's kind.
    """

    threshold: float | None = None
    false_alarm_rate: float | None = None
    scanner: Kind | None = None
    pseudocolour: bool = False
    profile: Profile | None = None
    palette: Palette | str | Path | None = None

    def threshold_of(self, model: Model) -> float:
        """The least score that alarms with a model.

        Raises:
            LeadlineError: there is no threshold for the false-alarm rate, or the profile is another model's.
        """
        if self.profile is not None:
            self.profile.check(model)
        if self.threshold is not None:
            return self.threshold
        if self.profile is not None:
            return self.profile.threshold_for(self.false_alarm_rate)
        if self.false_alarm_rate is not None:
            return model.contract.threshold_for(self.false_alarm_rate)
        return model.contract.threshold

    def known(self, scan: Scan) -> Scan:
        """The scan with what the profile knows of its scanner.

        Raises:
            LeadlineError: the scan is not of the profile's scanner.
        """
        return scan if self.profile is None else self.profile.onto(scan)

    def for_model(self, scan: Scan) -> Scan:
        """The scan as the model should see it; all else is measured on the scan as it is."""
        return scan if self.profile is None else self.profile.for_model(scan)


@dataclass(frozen=True)
class Screened:
    """A file that was screened, with what its overlay needs."""

    path: Path
    verdict: Verdict
    scan: Scan
    scores: Scores
    quality: Quality


@dataclass(frozen=True)
class Failed:
    """A file that was not screened, and why: file, reason, remedy in one sentence."""

    path: Path
    error: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON line."""
        return {"path": str(self.path), "error": self.error}


def judge(
    engine: Engine, scan: Scan, settings: Settings, elapsed_ms: float = 0.0, quality: Quality | None = None
) -> Screened:
    """Score one scan and decide.

    Args:
        engine: with the model.
        scan: declaration and scanner set.
        settings: the threshold counts.
        elapsed_ms: time already spent on the scan, such as on reading it.
        quality: of the scan, if it was measured before.

    Raises:
        ModelError: no usable model.
        LeadlineError: the scan cannot be judged, or there is no such threshold.
    """
    started = time.perf_counter()
    scan = engine.identified(settings.known(scan))
    threshold = settings.threshold_of(engine.model_for(scan.scanner.kind, scan.path))
    # One after the other: beside an inference that has all cores, measuring makes both slower.
    quality = quality or measure(scan)
    scores = engine.score(settings.for_model(scan))
    verdict = verdict_of(scan, scores, quality, threshold)
    verdict = verdict.after(elapsed_ms + 1000 * (time.perf_counter() - started))
    return Screened(Path(scan.path), verdict, scan, scores, quality)


def threads_for(files: int, provider: str | None = None) -> int | None:
    """Threads of one inference that screen so many files fastest; `None` is as many as there are cores.

    A thread more helps one file less than it helps to have another file beside it.
    """
    cores = available_cores()
    if resolve_provider(provider) != CPU or files < 2 * cores:
        return None
    return max(1, cores // MOST_AT_ONCE)


def screen_files(
    engine: Engine,
    paths: Iterable[Path],
    settings: Settings,
    declaration_of: Callable[[Path], Declaration | None] | None = None,
) -> Iterator[Screened | Failed]:
    """Screen files in their order; several at once where the engine leaves cores free, else the next ones are read
    while one is scored.

    Args:
        engine: with the model; made with `threads_for` it screens many files fastest.
        paths: files.
        settings: what the user chose.
        declaration_of: gives the declared goods of a file, such as `Manifest.declaration`.

    Yields:
        One result a file.

    Raises:
        LeadlineError: the model or the threshold cannot be used: no file could be screened.
    """
    waiting: deque[Callable[[], Screened | Failed]] = deque()
    rest = iter(paths)
    at_once = min(MOST_AT_ONCE, max(1, available_cores() // engine.threads)) if engine.provider == CPU else 1
    pool = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="leadline-read")

    def begun(path: Path) -> Callable[[], Screened | Failed]:
        read = partial(_read, engine, path, settings, declaration_of, engine.threads if at_once == 1 else 1)
        if at_once == 1:
            return partial(_finish, engine, path, pool.submit(read).result, settings)
        return pool.submit(_finish, engine, path, read, settings).result

    try:
        while True:
            while len(waiting) < at_once + READ_AHEAD and (path := next(rest, None)) is not None:
                waiting.append(begun(path))
            if not waiting:
                return
            yield waiting.popleft()()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Read(NamedTuple):
    """A scan that is ready to be scored."""

    scan: Scan
    elapsed_ms: float


def _read(
    engine: Engine,
    path: Path,
    settings: Settings,
    declaration_of: Callable[[Path], Declaration | None] | None,
    threads: int,
) -> _Read:
    """Read a scan, and set its declaration."""
    started = time.perf_counter()
    scan = read_scan(
        path,
        scanner=settings.scanner,
        pseudocolour=settings.pseudocolour,
        palette=settings.palette,
        threads=threads,
    )
    scan = engine.identified(settings.known(scan))
    if declaration_of is not None:
        scan = scan.declared(declaration_of(path))
    return _Read(scan, 1000 * (time.perf_counter() - started))


def _finish(engine: Engine, path: Path, read: Callable[[], _Read], settings: Settings) -> Screened | Failed:
    try:
        scan, elapsed_ms = read()
        model = engine.model_for(scan.scanner.kind, scan.path)
    except ModelError:
        raise
    except LeadlineError as error:
        return Failed(path, str(error))
    except Exception as error:  # one file must never end the run, whatever is wrong with it
        return Failed(path, f"{path}: cannot be read ({type(error).__name__}: {error}); report it with the file")
    settings.threshold_of(model)
    try:
        return judge(engine, scan, settings, elapsed_ms)
    except LeadlineError as error:
        return Failed(path, str(error))
    except Exception as error:
        return Failed(path, f"{path}: cannot be screened ({type(error).__name__}: {error}); report it with the file")


def measure(scan: Scan) -> Quality:
    """The quality of a scan that shows goods.

    Raises:
        ScanError: it shows nothing but open beam.
    """
    quality = assess(scan)
    if quality.empty:
        raise ScanError(
            scan.path or "scan", "shows nothing but open beam", "scan again while the goods pass, or check the export"
        )
    return quality
