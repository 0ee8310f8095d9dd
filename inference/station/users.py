"""`leadline user`: who may come in."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from leadline.inference.station.serve import DATA


@click.command(short_help="Add and remove the station's users.")
@click.argument("action", type=click.Choice(["add", "list", "password", "remove", "token"]))
@click.argument("name", required=False)
@click.option(
    "--role", type=click.Choice(["machine", "operator", "supervisor", "admin"]), default="operator", show_default=True,
    help="What a new user may do; each role may do what those before it may.",
)  # fmt: skip
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
@click.option(
    "--data", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), default=DATA, show_default=True,
    help="The station's data folder.",
)  # fmt: skip
def user(action: str, name: str | None, role: str, password_stdin: bool, data: Path) -> None:
    """Add, list and remove users of the station, set passwords, make tokens for machines.

    A machine needs no password; it sends the token as `Authorization: Bearer TOKEN`.

    \b
    Examples:
      leadline user add chen --role supervisor
      leadline user add gate4 --role machine
      leadline user token gate4
      leadline user list
    """
    from leadline.inference.station.accounts import Accounts
    from leadline.inference.station.service import DATABASE, make_folder
    from leadline.inference.station.store import Store

    if action != "list" and not name:
        raise click.UsageError(f"leadline user {action}: whom? Give a name")
    make_folder(data.expanduser())
    store = Store(data.expanduser() / DATABASE)
    try:
        accounts = Accounts(store)
        match action:
            case "add":
                accounts.add(str(name), role, None if role == "machine" else _password(password_stdin))
                click.echo(f"added {name} ({role})")
            case "password":
                accounts.set_password(str(name), _password(password_stdin))
                click.echo(f"new password for {name}; their sessions have ended")
            case "remove":
                accounts.remove(str(name))
                click.echo(f"removed {name}")
            case "token":
                click.echo(accounts.new_token(str(name)))
                click.echo("this token is not shown again", err=True)
            case _:
                for entry in accounts.all():
                    click.echo(f"{entry['name']}\t{entry['role']}{chr(9) + 'locked' if entry['locked'] else ''}")
    finally:
        store.close()


def _password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    found: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return found
