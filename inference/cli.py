"""The `leadline` command: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NamedTuple

import click


class Entry(NamedTuple):
    """A subcommand: where it lives, its line in the help, and the extra that it needs."""

    target: str
    help: str
    extra: str | None = None


COMMANDS: dict[str, Entry] = {
    "screen": Entry("leadline.inference.screen:screen", "Screen scans: a verdict, its place and its reasons for each."),
    "calibrate": Entry("leadline.inference.calibration.commands:calibrate", "Fit leadline to a scanner."),
    "serve": Entry("leadline.inference.station.serve:serve", "Run the operator station.", "station"),
    "user": Entry("leadline.inference.station.users:user", "Add and remove the station's users.", "station"),
    "rescore": Entry("leadline.inference.rescore.commands:rescore", "Screen a whole archive into a ledger.", "cluster"),
    "compare-ledgers": Entry(
        "leadline.inference.rescore.compare_command:compare_ledgers", "Tell what changed between two models.", "cluster"
    ),
    "ledger": Entry("leadline.inference.ledger.commands:ledger", "Check a ledger, or write it out.", "cluster"),
    "project": Entry("leadline.datasets.simulator.project_command:project", "Project a simulated threat into a scan."),
    "datasets": Entry("leadline.datasets.public.commands:datasets", "List and check public data sets."),
    "palette": Entry("leadline.datasets.palette_command:palette", "Fit a palette for a vendor's 8-bit colours."),
    "train": Entry("leadline.training.commands:train", "Fit a model on simulated scans.", "train"),
    "export": Entry("leadline.training.commands:export", "Write a fitted model as one ONNX file.", "train"),
    "join": Entry("leadline.training.commands:join", "Make one model of several that are averaged.", "train"),
    "quantise": Entry(
        "leadline.training.quantise_command:quantise", "Write a model in INT8 if that costs nothing.", "train"
    ),
    "evaluate": Entry("leadline.training.measure_commands:evaluate", "Measure a model and write a report.", "train"),
    "compare": Entry("leadline.training.measure_commands:compare", "Compare two models on the same scans.", "train"),
    "limits": Entry("leadline.training.measure_commands:limits", "Tell what physics allows to find.", "train"),
}


class Failure(click.ClickException):
    """A failure that the user can mend: printed without a traceback, exit code 2 (wrong use)."""

    exit_code = 2


class Unanswered(Failure):
    """A failure that passes by itself, such as a database that does not answer: the same command will do later."""

    exit_code = 4


class Interrupted(click.ClickException):
    """Ctrl-C where nothing of its own is done about it: before the work has begun, and in short commands."""

    exit_code = 130

    def show(self, file: Any = None) -> None:
        click.echo(f"\n{self.message}", file=file, err=True)


class LazyGroup(click.Group):
    """A group that knows its commands by name and help line, and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise _missing(cmd_name, error) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _missing(ctx.invoked_subcommand, error) from error
        except (KeyboardInterrupt, click.Abort) as error:
            # A question that is answered by Ctrl-C ends in click's Abort.
            if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
                raise Interrupted(
                    f"leadline {ctx.invoked_subcommand}: interrupted; run the same command again"
                ) from None
            raise
        except Exception as error:
            if _mendable(error):
                raise (Unanswered if getattr(error, "transient", False) else Failure)(str(error)) from error
            raise


def _mendable(error: Exception) -> bool:
    """Whether it is a `LeadlineError`; the module that defines it brings numpy, so it is not imported here."""
    scan = sys.modules.get("leadline.datasets.scan")
    return scan is not None and isinstance(error, scan.LeadlineError)


def _missing(name: str | None, error: ModuleNotFoundError) -> Exception:
    """A missing optional package as advice; a missing part of leadline itself stays what it is."""
    extra = COMMANDS[name].extra if name in COMMANDS else None
    package = (error.name or "").partition(".")[0]
    if extra is None or package in ("", "leadline"):
        return error
    return Failure(f"leadline {name}: needs {package}, which is not installed; pip install 'leadline[{extra}]'")


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"leadline {version('leadline')}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and exit."
)
def main() -> None:
    """Reads X-ray scans of cargo and says whether strategic material is concealed in them.

    \b
    Example:
      leadline screen examples --overlays out
    """
