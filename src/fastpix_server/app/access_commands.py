"""`fastpix token` and `fastpix workspace`: access for the operator, who has the machine and needs no permission.

Invariants: importing this module is cheap; a secret is printed once, on stdout, by the command that made it; what users
of the API chose (names) reaches a terminal without control characters.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fastpix_server.access.model import ALL, PERMISSIONS
from fastpix_server.app.voice import spoken_errors, start

if TYPE_CHECKING:
    from fastpix_server.access.model import AccessToken, Workspace
    from fastpix_server.app.settings import Settings
    from fastpix_server.db.pool import Tx

T = TypeVar("T")

NAME_MAX_CHARS = 255  # as in the API

_as_json = click.option("--json", "is_json", is_flag=True, help="JSON on stdout, for programs.")


@click.group()
def token() -> None:
    """Access tokens of the API: make, list and revoke them, on the machine of the data folder or database."""


@click.group(epilog="\b\nExample:\n  $ fastpix workspace list")
def workspace() -> None:
    """Workspaces, each a separate world: make and list them, on the machine of the data folder or database."""


@token.command("create")
@click.option("--name", required=True, help="What it is for; people see it in lists.")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    required=True,
    type=click.Choice((ALL, *PERMISSIONS)),
    help="What it may do; repeat it for several. `*` is everything.",
)
@click.option("--workspace", "workspace_id", help="ID of its workspace. Without it: the oldest one.")
@_as_json
def create_token(name: str, permissions: tuple[str, ...], workspace_id: str | None, is_json: bool) -> None:
    """Make an access token and print its secret, which cannot be read again."""
    with spoken_errors():
        settings = start("token", is_quiet=True)
        from fastpix_server.access import service
        from fastpix_server.base import clock

        pepper = _pepper(settings)

        async def work(tx: "Tx") -> dict[str, Any]:
            made = await service.create_token(
                tx,
                pepper=pepper,
                workspace_id=(await _workspace(tx, workspace_id)).id,
                name=_name(name),
                permissions=permissions,
            )
            return {
                "id": made.id,
                "secretKey": made.secret,
                "workspaceId": made.workspace_id,
                "name": made.name,
                "permissions": made.permissions,
                "createdAt": clock.iso(made.created_at),
            }

        _tell(_in_one_unit(settings, work), is_json)


@token.command("list")
@click.option("--workspace", "workspace_id", help="Only those of this workspace. Without it: all.")
@_as_json
def list_tokens(workspace_id: str | None, is_json: bool) -> None:
    """List the access tokens that open something, never their secrets."""
    with spoken_errors():
        settings = start("token", is_quiet=True)
        from fastpix_server.access import service

        async def work(tx: "Tx") -> "list[AccessToken]":
            spaces = [await _workspace(tx, workspace_id)] if workspace_id else await service.list_workspaces(tx)
            return [found for space in spaces for found in await service.list_all_tokens(tx, space.id)]

        columns = ("id", "workspaceId", "name", "permissions", "createdAt", "lastUsedAt")
        _table([_token_row(found) for found in _in_one_unit(settings, work)], columns, is_json)


@token.command("revoke")
@click.argument("token_id")
@_as_json
def revoke_token(token_id: str, is_json: bool) -> None:
    """Revoke the access token TOKEN_ID, also the last one of its workspace; running platforms refuse it at once."""
    with spoken_errors():
        settings = start("token", is_quiet=True)
        from fastpix_server.access import service
        from fastpix_server.base import errors

        async def work(tx: "Tx") -> None:
            if not await service.revoke_token(tx, token_id):
                raise errors.NotFound("There is no such access token.")

        _in_one_unit(settings, work)
        _tell({"id": token_id, "state": "revoked"}, is_json)


@workspace.command("create", epilog="\b\nExample:\n  $ fastpix workspace create 'Second team'")
@click.argument("name")
@_as_json
def create_workspace(name: str, is_json: bool) -> None:
    """Make a workspace called NAME. It is empty: make its first token with `fastpix token create --workspace ID`."""
    with spoken_errors():
        settings = start("workspace", is_quiet=True)
        from fastpix_server.access import service

        async def work(tx: "Tx") -> "Workspace":
            return await service.create_workspace(tx, name=_name(name))

        _tell(_workspace_row(_in_one_unit(settings, work)), is_json)


@workspace.command("list", epilog="\b\nExample:\n  $ fastpix workspace list --json")
@_as_json
def list_workspaces(is_json: bool) -> None:
    """List all workspaces, oldest first."""
    with spoken_errors():
        settings = start("workspace", is_quiet=True)
        from fastpix_server.access import service

        found = _in_one_unit(settings, service.list_workspaces)
        _table([_workspace_row(one) for one in found], ("workspaceId", "workspaceKey", "name", "createdAt"), is_json)


def _in_one_unit(settings: "Settings", work: "Callable[[Tx], Awaitable[T]]") -> T:
    from fastpix_server.app import own_database

    return own_database.in_one_unit(settings, work)


def _pepper(settings: "Settings") -> bytes:
    """A named database belongs to machines that share a master key: one made here would hash secrets for nobody."""
    from fastpix_server.app import secrets
    from fastpix_server.base import errors

    if settings.database_url and not secrets.has_master_key(settings):
        raise errors.BadState(
            "FASTPIX_DATABASE_URL is set, but the master key of that database is not here: set FASTPIX_MASTER_KEY, or"
            " FASTPIX_DATA_DIR to the folder that holds it."
        )
    return secrets.load_keys(settings).pepper


async def _workspace(tx: "Tx", workspace_id: str | None) -> "Workspace":
    from fastpix_server.access import service
    from fastpix_server.base import errors, ids

    if workspace_id is not None:
        if not ids.is_uuid(workspace_id.lower()):
            raise errors.NotFound("A workspace ID is a UUID; `fastpix workspace list` shows them.")
        return await service.get_workspace(tx, workspace_id.lower())
    found = await service.list_workspaces(tx)
    if not found:
        raise errors.BadState("There is no workspace yet: run `fastpix migrate` first.")
    return found[0]


def _name(text: str) -> str:
    from fastpix_server.base import errors

    if not text.strip() or len(text) > NAME_MAX_CHARS or not text.isprintable():
        raise errors.BadState(f"A name has 1 to {NAME_MAX_CHARS} printable characters.")
    return text


def _token_row(found: "AccessToken") -> dict[str, Any]:
    from fastpix_server.base import clock

    return {
        "id": found.id,
        "workspaceId": found.workspace_id,
        "name": found.name,
        "permissions": found.permissions,
        "createdAt": clock.iso(found.created_at),
        "lastUsedAt": clock.iso(found.last_used_at) if found.last_used_at is not None else None,
    }


def _workspace_row(found: "Workspace") -> dict[str, Any]:
    from fastpix_server.base import clock

    return {
        "workspaceId": found.id,
        "workspaceKey": found.key,
        "name": found.name,
        "createdAt": clock.iso(found.created_at),
    }


def _tell(facts: dict[str, Any], is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(facts, indent=2))
        return
    from fastpix.commands import screen, table, text

    for line in table.facts([(text.label(name), table.shown(name, facts[name])) for name in facts], screen.of()):
        click.echo(line)


def _table(rows: list[dict[str, Any]], columns: Sequence[str], is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from fastpix.commands import screen, table, text

    def shown(name: str) -> Callable[[Any], str]:
        return text.ago if name.endswith("At") else text.clean

    made = [table.Column(text.label(name.removesuffix("At")).upper(), name, shown(name)) for name in columns]
    for line in table.lines(rows, made, screen.of()):
        click.echo(line)
