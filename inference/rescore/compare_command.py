"""`leadline compare-ledgers`: what another model would have said."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leadline.inference.rescore.compare import Comparison

MOST_GROUPS = 10


@click.command(short_help="Tell what changed between two models.")
@click.argument("old_place", metavar="OLD")
@click.argument("new_place", metavar="NEW", required=False)
@click.option("--old-model", metavar="SHA256", help="Only this model's verdicts of OLD; its first digits will do.")
@click.option("--new-model", metavar="SHA256", help="Only this model's verdicts of NEW.")
@click.option("--shadow", is_flag=True, help="Take the candidate's verdicts (kind shadow) of NEW.")
@click.option(
    "--first", metavar="N", type=click.IntRange(0, 10_000), default=50, show_default=True, help="Flips to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
@click.option(
    "--html", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures."
)
def compare_ledgers(
    old_place: str,
    new_place: str | None,
    old_model: str | None,
    new_model: str | None,
    shadow: bool,
    first: int,
    as_json: bool,
    html: Path | None,
) -> None:
    """Tell what changed from OLD to NEW: verdicts that flipped, the scans that most deserve a second look first.

    OLD and NEW are ledgers; without NEW, two models of one ledger are compared.

    \b
    Examples:
      leadline compare-ledgers old.ledger new.ledger --html changed.html
      leadline compare-ledgers cargo.ledger --shadow
      leadline compare-ledgers cargo.ledger --old-model 3f2a --new-model 91bc --json
    """
    if new_place is None and not shadow and (old_model is None or new_model is None):
        raise click.UsageError("NEW: is missing; name a second ledger, or --shadow, or --old-model and --new-model")
    for option, value in (("--old-model", old_model), ("--new-model", new_model)):
        if value is not None and set(value.lower()) - set("0123456789abcdef"):
            raise click.UsageError(f"{option} {value}: is no SHA-256; give its first hexadecimal digits")
    from leadline.inference.ledger import Ledger
    from leadline.inference.rescore.compare import Side, compare

    with ExitStack() as stack:
        old = stack.enter_context(Ledger.open(old_place, create=False))
        new = stack.enter_context(Ledger.open(new_place, create=False)) if new_place else old
        found = compare(
            Side(old, "verdict", old_model and old_model.lower()),
            Side(new, "shadow" if shadow else "verdict", new_model and new_model.lower()),
            first,
        )
    if html is not None:
        from leadline.inference.rescore.compare_html import write_html

        write_html(found, html)
        click.echo(f"{html}: written", err=True)
    if as_json:
        click.echo(json.dumps(found.as_dict(), allow_nan=False))
    else:
        _print(found)


def _print(found: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from leadline.inference.ledger.events import plain

    console = Console(highlight=False, markup=False)
    flipped = sum(found.flips.values())
    console.print(
        f"{found.both} scans judged by both, {flipped} verdicts differ; "
        f"{found.only_old} only by the old, {found.only_new} only by the new"
    )
    for (before, now), count in found.flips.most_common():
        console.print(f"  {before} to {now}: {count}")
    for name, groups in found.by.items():
        table = Table("scans", "flips", "inspect to clear", "clear to inspect", name, box=None, pad_edge=False)
        for value, counts in [g for g in groups.items() if g[1]["flips"]][:MOST_GROUPS]:
            figures = (counts[k] for k in ("scans", "flips", "inspect to clear", "clear to inspect"))
            table.add_row(*map(str, figures), Text(plain(value, 80)))
        if table.row_count:
            console.print(table)
    if found.first:
        table = Table("verdict", "score", "goods", "scan", box=None, pad_edge=False)
        for flip in found.first:
            scores = " to ".join("?" if s is None else f"{s:.3f}" for s in (flip.old_score, flip.new_score))
            where = Text(plain(flip.path, 400), overflow="fold")
            table.add_row(f"{flip.old} to {flip.new}", scores, Text(plain(flip.goods, 60)), where)
        console.print("look at these first:")
        console.print(table)
