"""`fastpix token`: access tokens, by the API or on the machine of the database.

The server has a group of the same name for its operator, who needs no token. Which of the two is meant follows from
what is typed, never from the surroundings: `--api`, or an option that names an API (`--base-url`, `--credentials`),
asks the API; without them the command is the server's, as it was before this one existed. Only where the server is not
installed, and nothing else can be meant, the API is asked without being told.
"""

from __future__ import annotations

from typing import Any

import click

from fastpix.commands import command, text, words
from fastpix.commands.command import ClientCommand, ClientGroup
from fastpix.commands.session import Session, with_session
from fastpix.commands.table import Column

ACCESS_ID = "ACCESS_ID"
COLUMNS = (
    Column("ID", "id"),
    Column("PERMISSIONS", lambda row: " ".join(map(str, row.get("permissions") or ()))),
    Column("LAST USED", "lastUsedAt", text.ago),
    Column("NAME", "name", is_flexible=True),
)

_by_api = click.option(
    "--api", "is_api", is_flag=True, help="Ask the API, not the database of this machine. --base-url says the same."
)
_workspace = click.option(
    "--workspace", "workspace_id", help="ID of the workspace; the API knows only its own. Without it: the oldest one."
)


class TokenCommand(ClientCommand):
    """Goes to the server's command of the same name when the database is meant."""

    def invoke(self, ctx: click.Context) -> Any:
        is_api = bool(ctx.params.pop("is_api")) or any(ctx.params[name] for name in ("base_url", "credentials"))
        local = None if is_api else _of_the_server(self.name or "")
        if local is None:
            if ctx.params.pop("workspace_id", None):
                raise click.UsageError("The API knows only the workspace of its credentials: leave --workspace out")
            return super().invoke(ctx)
        known = {param.name for param in local.params}
        return ctx.invoke(local, **{name: value for name, value in ctx.params.items() if name in known})


def _of_the_server(name: str) -> click.Command | None:
    """None where the server is not installed, or cannot be."""
    from fastpix import cli

    point = cli.installed().get("token")
    if point is None or not cli.has_server():
        return None
    try:
        group = point.load()
    except ModuleNotFoundError:
        return None
    return group.commands.get(name) if isinstance(group, click.Group) else None


class TokenGroup(ClientGroup):
    command_class = TokenCommand


@click.group(cls=TokenGroup, example="fastpix token list --api")
def token() -> None:
    """Access tokens of the API: make, list and revoke them.

    They work on the database of this machine, for its operator, whether the platform runs or not; with --api they ask
    the API, with a token that may do it (system:read, system:write).
    """


@token.command(
    "create",
    example=[
        "fastpix token create --name ci --permission video:read --permission video:write",
        "fastpix token create --api --name ci --permission video:read",
    ],
)
@click.option("--name", required=True, help="What it is for; people see it in lists.")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    required=True,
    type=click.Choice(words.PERMISSIONS),
    help="What it may do; repeat it for several. `*` is everything.",
)
@_by_api
@_workspace
@with_session
def create_token(session: Session, name: str, permissions: Any) -> None:
    """Make an access token and print its secret, which cannot be read again."""
    made = session.data(session.client.access_tokens.create, name=name, permissions=permissions)
    session.object(made, first=("id", "secretKey", "name", "permissions"))
    session.note("Keep the secret key: it is not shown again. ID and secret key are username and password.")


@token.command("list", example=["fastpix token list", "fastpix token list --api --json"])
@_by_api
@_workspace
@command.limit
@with_session
def list_tokens(session: Session, limit: int) -> None:
    """List the access tokens that open something, never their secrets."""
    pages = session.client.access_tokens.list(limit=session.page_size(limit))
    session.pages(pages, limit, COLUMNS, nothing="There are no access tokens")


@token.command("get", example=f"fastpix token get {ACCESS_ID}")
@click.argument("token_id")
@_by_api
@with_session
def get_token(session: Session, token_id: str) -> None:
    """Show the access token ACCESS_ID and when it was last used. This one always asks the API."""
    session.object(session.data(session.client.access_tokens.get, access_token_id=token_id), first=("id", "name"))


@token.command("revoke", example=[f"fastpix token revoke {ACCESS_ID}", f"fastpix token revoke --api {ACCESS_ID} --yes"])
@click.argument("token_id")
@_by_api
@command.sure
@with_session
def revoke_token(session: Session, token_id: str, is_sure: bool) -> None:
    """Revoke the access token ACCESS_ID. The API asks before, and keeps the last one that could make another."""
    session.confirm(f"Revoke the token {text.clean(token_id)}? What uses it stops working.", is_sure=is_sure)
    done = session.data(session.client.access_tokens.delete, access_token_id=token_id)
    session.done(done, f"Revoked {text.clean(token_id)}")
