"""`leadline ledger`: check a ledger, write it out."""

from __future__ import annotations

from pathlib import Path

import click

BROKEN = 1
"""Exit code of `verify` where the chain is broken."""


@click.group(short_help="Check a ledger, or write it out.")
def ledger() -> None:
    """Check a ledger, or write it out as CSV or Parquet.

    LEDGER is a file, or a PostgreSQL database as postgresql://user@host/database; its password belongs into
    PGPASSWORD or ~/.pgpass. Ledgers and exports hold declarations: new ones only their owner may read.

    \b
    Examples:
      leadline ledger verify cargo.ledger
      leadline ledger export cargo.ledger verdicts.parquet
    """


@ledger.command()
@click.argument("ledger_place", metavar="LEDGER")
@click.option("--head", metavar="HASH", help="A head that was noted earlier and must still be among the rows.")
@click.option("--quiet", is_flag=True, help="Print nothing where all is well.")
@click.pass_context
def verify(ctx: click.Context, ledger_place: str, head: str | None, quiet: bool) -> None:
    """Find any row that was altered, removed or inserted.

    \b
    Example:
      leadline ledger verify cargo.ledger --head 5f0c...

    Exit code: 0 the chain is intact, 1 it is broken, 2 wrong use, 4 the database does not answer, 130 interrupted.
    """
    from leadline.inference.ledger import Ledger, LedgerDamaged
    from leadline.inference.ledger import verify as check

    if head is not None and (len(head) != 64 or set(head.lower()) - set("0123456789abcdef")):
        raise click.UsageError(f"--head {head}: is not 64 hexadecimal digits; give what an earlier verify printed")
    try:
        with Ledger.open(ledger_place, create=False) as opened:
            found = check(opened, head and head.lower())
            name = opened.name
    except LedgerDamaged as error:
        click.echo(str(error), err=True)
        ctx.exit(BROKEN)
    for problem in found.problems:
        click.echo(f"row {problem.seq}: {problem.what}")
    if found.problem_count > len(found.problems):
        click.echo(f"and {found.problem_count - len(found.problems)} more")
    if found.problem_count:
        click.echo(f"{name}: broken, {found.problem_count} faults in {found.rows} rows", err=True)
        ctx.exit(BROKEN)
    if not quiet:
        click.echo(f"{name}: intact, {found.rows} rows, head {found.head}")


@ledger.command()
@click.argument("ledger_place", metavar="LEDGER")
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def export(ledger_place: str, target: Path) -> None:
    """Write all rows to FILE, which ends in .csv or .parquet.

    \b
    Example:
      leadline ledger export cargo.ledger verdicts.csv
    """
    from leadline.inference.ledger import Ledger
    from leadline.inference.ledger.export import export as write

    with Ledger.open(ledger_place, create=False) as opened:
        count = write(opened, target)
    click.echo(f"{target}: {count} rows", err=True)
