"""The server's commands of the `fastpix` program: a thin voice over the rest of this package.

Invariants: importing this module is cheap (`fastpix --help` does it); what a person did wrong is one sentence on stderr
and exit code 1, without a traceback.
"""

import base64
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastpix_server.app.voice import spoken_errors as _spoken_errors
from fastpix_server.app.voice import start as _start

if TYPE_CHECKING:
    from fastpix_server.app.http import Family
    from fastpix_server.app.secrets import Credentials
    from fastpix_server.app.settings import Settings

# The public clip of FastPix's own examples. It is on somebody else's server: no test depends on it.
EXAMPLE_MEDIA_URL = "https://static.fastpix.com/fp-sample-video.mp4"
# What says in this terminal where the platform answers.
_ADDRESS = ("FASTPIX_PUBLIC_URL", "FASTPIX_HOST", "FASTPIX_HTTP_PORT")


@click.command(epilog="\b\nExample:\n  $ fastpix up")
def up() -> None:
    """Run the whole platform in the foreground: database, API, playback, workers."""
    import asyncio

    with _spoken_errors():
        settings = _start("supervisor")
        from fastpix_server.app import secrets
        from fastpix_server.app.supervisor import Supervisor, acquire_data_dir

        encoders = _encoders(settings)  # while the port is nobody's, or somebody else's
        with acquire_data_dir(settings.data_dir):
            # Made under the lock, and before the roles need them.
            secrets.load_keys(settings)
            credentials = secrets.load_credentials(settings)
            secrets.note_address(settings)
        asyncio.run(Supervisor(settings, lambda: click.echo(welcome(settings, credentials, encoders))).run())


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


@click.command(
    epilog="\b\nExamples:\n  $ fastpix credentials > platform.json\n  $ fastpix credentials --export > platform.env"
)
@click.option("--export", "is_export", is_flag=True, help='As FASTPIX_* lines for a shell: eval "$(...)" sets them.')
def credentials(is_export: bool) -> None:
    """Print the first access token and its workspace as JSON, or with --export for a shell."""
    with _spoken_errors():
        settings = _start("credentials")
        from fastpix_server.app import secrets

        found = secrets.load_credentials(settings)
        base_url = settings.urls.public
        if found.base_url and not any(os.environ.get(name) for name in _ADDRESS):
            base_url = found.base_url
        if is_export:
            click.echo(exports(base_url, found))
            return
        told = {
            "baseUrl": base_url,
            "username": found.username,
            "password": found.password,
            "workspaceId": found.workspace_id,
            "workspaceKey": found.workspace_key,
        }
        click.echo(json.dumps(told, indent=2))


def exports(base_url: str, found: "Credentials") -> str:
    """For `eval`: what the official SDKs, ours and the lines of the guides read."""
    named = {"BASE_URL": f"{base_url}/v1", "USERNAME": found.username, "PASSWORD": found.password}
    return "\n".join(f"export FASTPIX_{name}={shlex.quote(value)}" for name, value in named.items())


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


def welcome(settings: "Settings", credentials: "Credentials", encoders: str) -> str:
    """What `fastpix up` prints once the platform answers."""
    base, program = settings.urls.public, _program()
    return "\n".join(
        [
            "",
            "  fastpix is ready. Ctrl-C stops it.",
            "",
            f"  Base URL   {base}/v1/",
            f"  Username   {credentials.username}",
            f"  Password   {credentials.password}",
            f"  Reference  {base}/docs",
            f"  Encoders   {encoders}",
            "",
            "  Now, in another terminal in this folder:",
            "",
            f"  {program} demo                      makes a short film, sends it, says where it plays",
            f"  {program} upload video.mp4          the same with a film of yours",
            f"  {program} live create --print-obs   a live stream for OBS or ffmpeg",
            "",
            f"  Or from a URL with curl (data.playbackIds[0].id of the answer plays at {base}/play/PLAYBACK_ID):",
            "",
            f"  curl -u '{credentials.username}:{credentials.password}' {base}/v1/on-demand \\",
            "    -H 'Content-Type: application/json' \\",
            f'    -d \'{{"inputs": [{{"type": "video", "url": "{EXAMPLE_MEDIA_URL}"}}], "accessPolicy": "public"}}\'',
            "",
        ]
    )


def _program() -> str:
    """How this program is called from here: by its name where the shell finds it, else by its path."""
    path = Path(sys.argv[0])
    if path.name != "fastpix" or shutil.which("fastpix") == str(path):
        return "fastpix"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _encoders(settings: "Settings") -> str:
    """Where they send to. A taken port does not keep the platform from starting, but live by RTMP is off."""
    from fastpix_server.app.supervisor import why_not_free

    host, port = settings.http.host, settings.ingest.rtmp_port
    if not port:
        return "RTMP is off (FASTPIX_RTMP_PORT is 0)"
    if reason := why_not_free(host, port):
        return f"RTMP IS OFF: port {port}: {reason}. Set FASTPIX_RTMP_PORT to another one."
    return f"rtmp://{host}:{port}/live"


def _serve(families: "frozenset[Family]") -> None:
    with _spoken_errors():
        settings = _start("http")
        from fastpix_server.app import http as role
        from fastpix_server.app.settings import require_database_url
        from fastpix_server.app.supervisor import check_port_is_free

        require_database_url(settings)
        check_port_is_free(settings)
        role.serve(settings, families)
