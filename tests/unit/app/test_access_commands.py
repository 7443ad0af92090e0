"""`fastpix token` and `fastpix workspace` as an operator runs them, over a real database.

Most of the time in the process of the tests, since to start one takes longer than anything here; where the platform of
the folder stands still, in one of its own. Beside a platform that runs: tests/unit/commands/test_platform.py.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.running_platform import clean_environ

from fastpix import cli
from fastpix_server.access import service
from fastpix_server.app import access_commands, secrets, settings
from fastpix_server.base import log
from fastpix_server.db.pool import Database


class Operator:
    def __init__(self, data_dir: Path, database_url: str = "", **environ: str) -> None:
        self._variables = {"FASTPIX_DATA_DIR": str(data_dir), "FASTPIX_DATABASE_URL": database_url, **environ}
        self.settings = settings.load(self._variables)

    def run(self, *words: str) -> Result:
        unset = dict.fromkeys(name for name in os.environ if name.startswith("FASTPIX_"))
        done = CliRunner(env={**unset, **self._variables}).invoke(cli.main, words)
        log.configure("test", "warning")  # the command has turned it to the stderr of its own
        return done

    def told(self, *words: str):
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def told_apart(self, *words: str):
        """By a process of its own."""
        command = [sys.executable, "-m", "fastpix", *words, "--json"]
        environ = clean_environ(**self._variables)
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def operator(tmp_path: Path, database_url: str) -> Operator:
    made = Operator(tmp_path / "data", database_url)
    secrets.load_keys(made.settings)  # the platform has run here before
    return made


def opens(operator: Operator, token_id: str, secret: str) -> str | None:
    """The workspace that the pair opens."""

    async def ask() -> str | None:
        db = await Database.open(operator.settings.database_url.reveal(), size=1)
        async with db.unit() as tx:
            pepper = secrets.load_keys(operator.settings).pepper
            found = await service.authenticate(tx, token_id, secret, pepper=pepper)
        await db.close()
        return found.workspace_id if found is not None else None

    return asyncio.run(ask())


def test_a_second_workspace_gets_its_own_token_which_is_listed_and_revoked(operator: Operator):
    first, second = (operator.told("workspace", "create", name) for name in ("One", "Two"))
    assert [w["name"] for w in operator.told("workspace", "list")] == ["One", "Two"]
    grants = ("--permission", "video:read", "--permission", "data:read")
    made = operator.told("token", "create", "--name", "ci", *grants, "--workspace", second["workspaceId"])
    assert made["permissions"] == ["data:read", "video:read"]
    assert opens(operator, made["id"], made["secretKey"]) == second["workspaceId"]
    assert [t["id"] for t in operator.told("token", "list")] == [made["id"]]
    assert operator.told("token", "list", "--workspace", first["workspaceId"]) == []
    shown = operator.run("token", "list")
    assert made["id"] in shown.stdout
    assert made["secretKey"] not in shown.stdout + shown.stderr
    assert operator.told("token", "revoke", made["id"]) == {"id": made["id"], "state": "revoked"}
    assert opens(operator, made["id"], made["secretKey"]) is None


def test_without_a_workspace_the_token_is_of_the_oldest_one_and_people_can_read_it(operator: Operator):
    first = operator.told("workspace", "create", "One")
    operator.told("workspace", "create", "Two")
    done = operator.run("token", "create", "--name", "for ci", "--permission", "*")
    facts = dict(re.split("  +", line) for line in done.stdout.splitlines())
    assert facts["Workspace ID"] == first["workspaceId"]
    assert opens(operator, facts["ID"], facts["Secret key"]) == first["workspaceId"]
    assert facts["Secret key"] not in done.stderr
    listed = operator.run("token", "list").stdout.splitlines()
    assert re.split("  +", listed[0]) == ["ID", "WORKSPACE ID", "NAME", "PERMISSIONS", "CREATED", "LAST USED"]
    assert re.search(r"  for ci  \*  +\d+[sm] ago  ", listed[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("token", "revoke", "nobody"), "There is no such access token."),
        (("token", "create", "--name", "n", "--permission", "*"), "There is no workspace yet"),
        (("token", "list", "--workspace", "nope"), "A workspace ID is a UUID"),
        (("workspace", "create", " "), "printable characters"),
    ],
)
def test_what_went_wrong_is_one_sentence(operator: Operator, words: tuple[str, ...], said: str):
    done = operator.run(*words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert isinstance(done.exception, SystemExit)  # which a traceback is not made of


def test_a_token_is_not_made_under_a_master_key_that_nobody_else_has(tmp_path: Path, database_url: str):
    elsewhere = Operator(tmp_path / "empty", database_url)
    done = elsewhere.run("token", "create", "--name", "n", "--permission", "*")
    assert done.exit_code == 1
    assert "FASTPIX_MASTER_KEY" in done.stderr
    assert not (tmp_path / "empty").exists()


def test_a_platform_that_stands_still_is_opened_for_the_command_and_closed_again(tmp_path: Path):
    still = Operator(tmp_path / "data")
    made = still.told_apart("workspace", "create", "Two")
    assert [w["name"] for w in still.told_apart("workspace", "list")] == [service.FIRST_WORKSPACE_NAME, "Two"]
    assert made["workspaceId"]
    assert not list((tmp_path / "data").rglob("postmaster.pid"))


def test_names_that_users_chose_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]):
    access_commands._table([{"name": "a\x1b[2Jb\r\n"}], ("name",), is_json=False)
    assert capsys.readouterr().out == "NAME\na?[2Jb\n"
