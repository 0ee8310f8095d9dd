"""`leadline serve`: runs the operator station."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadline.datasets.options import NumberRange

if TYPE_CHECKING:
    from leadline.inference.station.service import Station

DATA = Path("~/.local/share/leadline/station")


@click.command(short_help="Run the operator station.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--data", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), default=DATA, show_default=True,
    help="Folder of the station's database, ledger and copies of scans.",
)  # fmt: skip
@click.option(
    "--watch", metavar="DIR", multiple=True, type=click.Path(file_okay=False, path_type=Path),
    help="Take in the scans of this folder; may be given several times.",
)  # fmt: skip
@click.option(
    "--model", metavar="FILE", multiple=True, type=click.Path(dir_okay=False, path_type=Path),
    help="A model file instead of the released ones; one a kind of scanner.",
)  # fmt: skip
@click.option("--provider", metavar="NAME", help="Run on this ONNX Runtime provider, such as cuda; without it: cpu.")
@click.option(
    "--scanner", type=click.Choice(["parcel", "container"]), help="Kind of scanner, for files that do not say it."
)
@click.option(
    "--false-alarm-rate", metavar="RATE", type=NumberRange(0, 1), help="Take the model's threshold for this rate."
)
@click.option(
    "--ledger", metavar="PLACE", help="File or postgresql:// URL of the ledger; without it, one in the data folder."
)
@click.option(
    "--certificate", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="TLS certificate (PEM)."
)
@click.option("--key", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="TLS private key (PEM).")
@click.option("--name", metavar="HOST", multiple=True, help="A name under which browsers reach the station.")
@click.option("--login", is_flag=True, help="Demand a login on this machine too.")
@click.option("--dicom-port", metavar="PORT", type=click.IntRange(1, 65535), help="Receive DICOS/DICOM here (C-STORE).")
@click.option("--dicom-title", metavar="AE", default="LEADLINE", show_default=True, help="Title of the DICOM service.")
@click.option(
    "--dicom-host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address of the DICOM service.",
)  # fmt: skip
@click.option(
    "--dicom-from",
    metavar="AE",
    multiple=True,
    help="Take DICOM only from this calling title; may be given several times.",
)
@click.option(
    "--most-upload", metavar="MB", type=click.IntRange(1, 2000), default=256, show_default=True, help="Largest upload."
)
def serve(
    host: str, port: int, data: Path, watch: tuple[Path, ...], model: tuple[Path, ...], provider: str | None,
    scanner: str | None, false_alarm_rate: float | None, ledger: str | None, certificate: Path | None, key: Path | None,
    name: tuple[str, ...], login: bool, dicom_port: int | None, dicom_title: str, dicom_host: str,
    dicom_from: tuple[str, ...], most_upload: int,
) -> None:  # fmt: skip
    """Run the operator station: scans in, a page with queue, viewer and verdicts, decisions into the ledger.

    On this machine's own address it needs no login. Any other address needs a TLS certificate and users,
    see `leadline user`.

    \b
    Examples:
      leadline serve --watch /srv/scans
      leadline serve --host 0.0.0.0 --certificate cert.pem --key key.pem --name station1.port
    """
    import logging

    from leadline.datasets.scan import LeadlineError
    from leadline.inference.screening import Settings
    from leadline.inference.station.access import is_loopback
    from leadline.inference.station.service import Options, Station

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    local = is_loopback(host)
    if (certificate is None) != (key is None):
        raise LeadlineError("--certificate and --key: one without the other; give both")
    if not local and certificate is None:
        raise LeadlineError(
            f"--host {host}: others can reach this address, so it needs TLS; give --certificate and --key"
        )
    hosts = ["127.0.0.1", "localhost", "[::1]", *(n.lower() for n in name)]
    if not local and host not in ("0.0.0.0", "::"):
        hosts.append(host.lower() if ":" not in host else f"[{host.lower()}]")
    if not local and host in ("0.0.0.0", "::") and not name:
        raise LeadlineError(f"--host {host}: say with --name under which names or addresses browsers reach the station")
    options = Options(
        data=data.expanduser(), watch=watch, models=model, provider=provider,
        settings=Settings(None, false_alarm_rate, scanner),  # type: ignore[arg-type]
        ledger=ledger, login=login or not local, tls=certificate is not None, hosts=tuple(hosts),
        most_upload=most_upload * 1_000_000,
    )  # fmt: skip
    with _lock(options.data):
        station = Station(options)
        if options.login and not station.accounts.any():
            station.record.close()
            raise LeadlineError(
                "a login is needed, and there are no users; add one: leadline user add NAME --role admin"
                f" --data {options.data}"
            )
        for problem in station.judges.warm().values():
            click.echo(f"warning: {problem}", err=True)
        service = None
        if dicom_port is not None:
            from leadline.inference.station.scp import DicomService

            service = DicomService(station, dicom_host, dicom_port, dicom_title, dicom_from)
        try:
            _run(station, host, port, certificate, key)
        finally:
            if service is not None:
                service.stop()


def _run(station: Station, host: str, port: int, certificate: Path | None, key: Path | None) -> None:
    """Listen until interrupted."""
    import errno
    import socket
    from contextlib import suppress

    import uvicorn

    from leadline.datasets.scan import LeadlineError
    from leadline.inference.station.app import create_app

    class Server(uvicorn.Server):
        """Ends the open pages' streams when it is told to stop: it would wait for them."""

        def handle_exit(self, sig: int, frame: object) -> None:
            station.broker.close()
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(256)  # from now on nobody is turned away, though it takes a moment until they are served
    except OSError as error:
        listening.close()
        reason = "something else listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise LeadlineError(f"--port {port}: cannot listen on {host} ({reason}); choose another port") from error
    config = uvicorn.Config(
        create_app(station), log_level="warning", access_log=False, server_header=False,
        ssl_certfile=certificate, ssl_keyfile=key, timeout_graceful_shutdown=3, timeout_keep_alive=30,
        h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    scheme = "https" if certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    waiting = f"; {station.waiting_at_start} scans were waiting" if station.waiting_at_start else ""
    click.echo(f"leadline station: {scheme}://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it){waiting}")
    with listening, suppress(KeyboardInterrupt):  # uvicorn raises it again after its clean end
        Server(config).run(sockets=[listening])


class _lock:
    """One station a data folder: a lock that the kernel lets go of however the process ends."""

    def __init__(self, data: Path) -> None:
        from leadline.inference.station.service import make_folder

        make_folder(data)
        self.path = data / "station.lock"

    def __enter__(self) -> None:
        import fcntl

        from leadline.datasets.scan import LeadlineError

        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.close()
            raise LeadlineError(
                f"--data {self.path.parent}: another station uses this folder; stop it, or choose another folder"
            ) from error

    def __exit__(self, *error: object) -> None:
        self.file.close()
