"""The server's commands of the `fastpix` program: a thin voice over the rest of this package.

Invariants: importing this module is cheap (`fastpix --help` does it); what a person did wrong is one sentence on stderr
and exit code 1, without a traceback.
"""

import base64
import json
from typing import TYPE_CHECKING

import click

from fastpix_server.app.voice import spoken_errors as _spoken_errors
from fastpix_server.app.voice import start as _start

if TYPE_CHECKING:
    from fastpix_server.app.http import Family
    from fastpix_server.app.secrets import Credentials
    from fastpix_server.app.settings import Settings

# A short public clip. It is on somebody else's server: no test depends on it, and it may go away.
EXAMPLE_MEDIA_URL = "https://storage.googleapis.com/gtv-videos-bucket/sample/ForBiggerBlazes.mp4"


@click.command(epilog="\b\nExample:\n  $ fastpix up")
def up() -> None:
    """Run the whole platform in the foreground: database, API, playback, workers."""
    import asyncio

    with _spoken_errors():
        settings = _start("supervisor")
        from fastpix_server.app import secrets
        from fastpix_server.app.supervisor import Supervisor, acquire_data_dir

        with acquire_data_dir(settings.data_dir):
            # Made under the lock, and before the roles need them.
            secrets.load_keys(settings)
            credentials = secrets.load_credentials(settings)
        asyncio.run(Supervisor(settings, lambda: click.echo(welcome(settings, credentials))).run())


@click.command(epilog="\b\nExample:\n  $ fastpix api")
def api() -> None:
    """Run only the REST API (for several machines; needs FASTPIX_DATABASE_URL)."""
    _serve(frozenset({"api"}))


@click.command(epilog="\b\nExample:\n  $ fastpix edge")
def edge() -> None:
    """Run only the edge: playback, images, uploads (for several machines; needs FASTPIX_DATABASE_URL)."""
    _serve(frozenset({"edge"}))


@click.command()
def http() -> None:
    """API and edge on one port, as the supervisor runs them."""
    _serve(frozenset({"api", "edge"}))


@click.command(epilog="\b\nExample:\n  $ fastpix worker")
def worker() -> None:
    """Run only a worker: background jobs and segments (for several machines; needs FASTPIX_DATABASE_URL)."""
    with _spoken_errors():
        settings = _start("worker")
        from fastpix_server.app import worker as role

        role.run(settings)


@click.command(epilog="\b\nExample:\n  $ fastpix ingest")
def ingest() -> None:
    """Run only live ingest: RTMP, SRT, WHIP, recording (for several machines; needs FASTPIX_DATABASE_URL)."""
    with _spoken_errors():
        settings = _start("ingest")
        from fastpix_server.app import ingest as role

        role.run(settings)


@click.command(epilog="\b\nExample:\n  $ fastpix analytics")
def analytics() -> None:
    """Run only the embedded analytics engine, where FASTPIX_CLICKHOUSE_URL says."""
    with _spoken_errors():
        settings = _start("analytics")
        from fastpix_server.app import analytics as role

        role.run(settings)


@click.command(epilog="\b\nExample:\n  $ fastpix migrate")
def migrate() -> None:
    """Bring the database to the newest schema and make the first workspace."""
    _migrate()


@click.command()
def prepare() -> None:
    """The same for the embedded server, where the database itself may be missing."""
    _migrate(creates=True)


def _migrate(*, creates: bool = False) -> None:
    import asyncio

    with _spoken_errors():
        settings = _start("migrate")
        from fastpix_server.app import children, migration

        children.until_told()
        asyncio.run(migration.run(settings, creates=creates))


@click.command(epilog="\b\nExample:\n  $ fastpix credentials > platform.json")
def credentials() -> None:
    """Print the first access token and its workspace as JSON."""
    with _spoken_errors():
        settings = _start("credentials")
        from fastpix_server.app import secrets

        found = secrets.load_credentials(settings)
        click.echo(
            json.dumps(
                {
                    "baseUrl": settings.urls.public,
                    "username": found.username,
                    "password": found.password,
                    "workspaceId": found.workspace_id,
                    "workspaceKey": found.workspace_key,
                },
                indent=2,
            )
        )


@click.command("path-key", epilog="\b\nExample:\n  $ fastpix path-key --format nginx")
@click.option(
    "--format",
    "form",
    type=click.Choice(["hex", "base64", "nginx"]),
    default="hex",
    show_default=True,
    help="How the keys are written; nginx: as the map of docs/guide/cdn.md includes it.",
)
def path_key(form: str) -> None:
    """Print the keys that sign paths below private manifests, for a CDN of your own.

    One line per key: its number and the key. The number before FASTPIX_PATH_KEY_NUMBER, that number and the next one
    are printed, as the edge takes all three. WARNING: whoever has such a key can open every private media.
    """
    with _spoken_errors():
        settings = _start("path-key")
        from fastpix_server.app import secrets
        from fastpix_server.playback import signed_path

        master = secrets.load_keys(settings, may_create=False).path_master
        for number in signed_path.accepted(settings.path_key_number):
            click.echo(written(number, signed_path.derive(master, number), form))
        click.echo("Keep these keys secret: whoever has one can open every private media.", err=True)


def written(number: int, key: bytes, form: str) -> str:
    """One line of `fastpix path-key`."""
    if form == "nginx":
        return f'{number} "{key.hex()}";'
    return f"{number} {base64.b64encode(key).decode() if form == 'base64' else key.hex()}"


def welcome(settings: "Settings", credentials: "Credentials") -> str:
    """What `fastpix up` prints once the platform answers."""
    base = settings.urls.public
    return "\n".join(
        [
            "",
            "  fastpix is ready",
            "",
            f"  Base URL   {base}/v1/",
            f"  Username   {credentials.username}",
            f"  Password   {credentials.password}",
            f"  Reference  {base}/docs",
            *_encoders(settings),
            "",
            "  Your first media:",
            "",
            f"  curl -u '{credentials.username}:{credentials.password}' {base}/v1/on-demand \\",
            "    -H 'Content-Type: application/json' \\",
            f'    -d \'{{"inputs": [{{"type": "video", "url": "{EXAMPLE_MEDIA_URL}"}}], "accessPolicy": "public"}}\'',
            "",
            f"  It plays at {base}/play/PLAYBACK_ID (data.playbackIds[0].id in the answer). Ctrl-C stops the platform.",
            "",
        ]
    )


def _encoders(settings: "Settings") -> list[str]:
    port = settings.ingest.rtmp_port
    return [f"  Encoders   rtmp://{settings.http.host}:{port}/live"] if port else []


def _serve(families: "frozenset[Family]") -> None:
    with _spoken_errors():
        settings = _start("http")
        from fastpix_server.app import http as role
        from fastpix_server.app.settings import require_database_url
        from fastpix_server.app.supervisor import check_port_is_free

        require_database_url(settings)
        check_port_is_free(settings)
        role.serve(settings, families)
