"""Keys, sealed values and the first credentials."""

import base64
import json
import subprocess
import threading
from pathlib import Path

import pytest

from fastpix_server.app import commands, secrets, settings
from fastpix_server.app.secrets import BadKey, Keys


def load(data_dir: Path, **environ: str) -> settings.Settings:
    return settings.load({"FASTPIX_DATA_DIR": str(data_dir), **environ})


def test_the_master_key_is_made_once_and_only_for_us(tmp_path: Path):
    at = load(tmp_path / "data")
    first = secrets.load_keys(at)
    sealed = first.seal(b"secret", "keys:private:1")
    assert secrets.load_keys(at).open(sealed, "keys:private:1") == b"secret"
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "master.key").stat().st_mode & 0o777 == 0o600


def test_roles_that_start_together_agree_on_the_key(tmp_path: Path):
    at, peppers = load(tmp_path / "data"), []
    threads = [threading.Thread(target=lambda: peppers.append(secrets.load_keys(at).pepper)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peppers) == 8
    assert len(set(peppers)) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["master.key"]


@pytest.mark.parametrize("text", [base64.b64encode(bytes(32)).decode(), "00" * 32])
def test_a_given_master_key_leaves_no_file(tmp_path: Path, text: str):
    keys = secrets.load_keys(load(tmp_path / "data", FASTPIX_MASTER_KEY=text))
    assert keys.pepper == Keys(bytes(32)).pepper
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["short", "00" * 31, base64.b64encode(bytes(33)).decode(), "z" * 64])
def test_a_master_key_of_the_wrong_size_is_refused(tmp_path: Path, text: str):
    with pytest.raises(BadKey, match="FASTPIX_MASTER_KEY must hold 32 bytes"):
        secrets.load_keys(load(tmp_path, FASTPIX_MASTER_KEY=text))


def test_a_sealed_value_opens_only_at_its_place():
    keys = Keys(bytes(32))
    sealed = keys.seal(b"secret", "keys:private:1")
    with pytest.raises(BadKey):
        keys.open(sealed, "keys:private:2")


def test_a_sealed_value_opens_only_with_its_key():
    with pytest.raises(BadKey):
        Keys(bytes([1]) * 32).open(Keys(bytes(32)).seal(b"secret", "a"), "a")


@pytest.mark.parametrize("position", [0, 1, 12, 13, 20, -1])
def test_a_sealed_value_that_was_changed_does_not_open(position: int):
    keys = Keys(bytes(32))
    sealed = bytearray(keys.seal(b"secret", "a"))
    sealed[position] ^= 1
    with pytest.raises(BadKey):
        keys.open(bytes(sealed), "a")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + bytes(27)])
def test_a_sealed_value_that_is_too_short_does_not_open(sealed: bytes):
    with pytest.raises(BadKey):
        Keys(bytes(32)).open(sealed, "a")


def test_the_same_value_is_sealed_differently_each_time():
    keys = Keys(bytes(32))
    assert keys.seal(b"x", "a") != keys.seal(b"x", "a")


def test_credentials_are_made_once_with_the_documented_names(tmp_path: Path):
    at = load(tmp_path / "data")
    made = secrets.load_credentials(at)
    assert secrets.load_credentials(at) == made
    saved = json.loads((tmp_path / "data" / "credentials.json").read_text())
    assert set(saved) == {"username", "password", "workspaceId", "workspaceKey"}
    assert (tmp_path / "data" / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert len(made.password) >= 32
    assert made.password not in repr(made)


def test_the_folder_says_where_its_platform_answers(tmp_path: Path):
    at = load(tmp_path, FASTPIX_HTTP_PORT="9080", FASTPIX_RTMP_PORT="0")
    made = secrets.load_credentials(at)
    assert made.base_url is None
    secrets.note_address(at)
    saved = json.loads((tmp_path / "credentials.json").read_text())
    assert saved["ports"] == {"http": 9080, "rtmp": 0, "rtmps": 1936, "srt": 8890}
    found = secrets.load_credentials(load(tmp_path))
    assert (found.username, found.base_url) == (made.username, "http://127.0.0.1:9080")
    # Another pair does not take the address away.
    secrets.load_credentials(load(tmp_path, FASTPIX_USERNAME="ada", FASTPIX_PASSWORD="pw"))
    assert secrets.load_credentials(load(tmp_path)).base_url == "http://127.0.0.1:9080"


def test_a_shell_gets_the_credentials_whatever_is_in_them(tmp_path: Path):
    made = secrets.Credentials("ada", "it's $HOME", "w", "k")
    script = commands.exports("http://127.0.0.1:8080", made) + '; printf "%s|" "$FASTPIX_BASE_URL" "$FASTPIX_PASSWORD"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "http://127.0.0.1:8080/v1|it's $HOME|"


def test_given_credentials_replace_the_pair_and_keep_the_workspace(tmp_path: Path):
    made = secrets.load_credentials(load(tmp_path))
    given = secrets.load_credentials(load(tmp_path, FASTPIX_USERNAME="ada", FASTPIX_PASSWORD="pw"))
    assert (given.username, given.password) == ("ada", "pw")
    assert given.workspace_id == made.workspace_id
    assert secrets.load_credentials(load(tmp_path)) == given


@pytest.mark.parametrize("text", ["", "{", "[]", '{"username": "x"}', '{"username": 1}'])
def test_a_damaged_credentials_file_is_named(tmp_path: Path, text: str):
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(BadKey, match=r"credentials\.json is damaged"):
        secrets.load_credentials(load(tmp_path))


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadKey, match="FASTPIX_DATA_DIR"):
        secrets.load_keys(load(tmp_path / "file" / "data"))
