"""The station as one thing: database, ledger, queue, judge, watched folder; started and stopped together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leadline.datasets.scan import LeadlineError
from leadline.inference.screening import Settings
from leadline.inference.station.accounts import Accounts
from leadline.inference.station.broker import Broker
from leadline.inference.station.files import Files
from leadline.inference.station.intake import Intake
from leadline.inference.station.metrics import Metrics
from leadline.inference.station.record import Record
from leadline.inference.station.store import Store
from leadline.inference.station.watch import Watcher
from leadline.inference.station.worker import Judges, Pixels, Worker

DATABASE, LEDGER, SCANS = "station.db", "station.ledger", "scans"
"""Names in the data folder."""


@dataclass(frozen=True)
class Options:
    """How a station is run.

    Attributes:
        data: folder of the station's database, ledger and copies of scans.
        watch: folders whose scans are taken in.
        models: model files; none takes the released ones.
        provider: ONNX Runtime provider.
        settings: threshold or false-alarm rate, and the kind of scanner where files do not say it.
        ledger: file or URL of the ledger; `None` is the data folder's.
        login: whether even this machine's own user must log in.
        tls: whether the page is served over TLS.
        hosts: names under which the station may be addressed.
        most_upload: bytes of one upload.
    """

    data: Path
    watch: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    provider: str | None = None
    settings: Settings = field(default_factory=Settings)
    ledger: str | None = None
    login: bool = False
    tls: bool = False
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    most_upload: int = 256_000_000


class Station:
    """Everything behind the page.

    Args:
        options: how it is run.

    Raises:
        LeadlineError: a folder, the ledger or a model cannot be used.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        make_folder(options.data)
        for folder in options.watch:
            if not folder.is_dir():
                raise LeadlineError(f"--watch {folder}: there is no such folder; make it first")
        self.store = Store(options.data / DATABASE)
        self.files = Files(options.data / SCANS)
        self.record = Record(options.ledger or options.data / LEDGER, self.store)
        self.accounts = Accounts(self.store)
        self.broker, self.metrics, self.pixels = Broker(), Metrics(), Pixels(self.files)
        self.judges = Judges(options.models, options.provider)
        self.intake = Intake(self.store, self.files, options.settings.scanner)
        self.waiting_at_start = self.store.recover()
        self.worker = Worker(
            self.store, self.files, self.judges, options.settings, self.record, self.pixels, self.metrics
        )
        self.watchers = [Watcher(f, self.intake, self.store, self.worker.wake) for f in options.watch]
        self.store.on_change = self.broker.notify

    def start(self) -> None:
        """Begin to judge and to watch."""
        self.worker.start()
        for watcher in self.watchers:
            watcher.start()

    def stop(self) -> None:
        """End all threads and let go of the files."""
        self.broker.close()
        for watcher in self.watchers:
            watcher.stop()
        self.worker.stop()
        for thread in (*self.watchers, self.worker):
            if thread.is_alive():
                thread.join(20)
        self.record.close()
        self.store.close()

    def problems(self) -> Sequence[str]:
        """What keeps the station from its work, empty if nothing."""
        found = [f"{w.folder}: {w.problem}" for w in self.watchers if w.problem]
        if self.worker.problem:
            found.append(self.worker.problem)
        if self.worker.ident is not None and not self.worker.is_alive():
            found.append("the judging thread has ended; restart the station")
        return found


def make_folder(folder: Path) -> None:
    """Make the data folder, for this user alone.

    Raises:
        LeadlineError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LeadlineError(f"--data {folder}: cannot be made ({error.strerror}); choose another folder") from error
