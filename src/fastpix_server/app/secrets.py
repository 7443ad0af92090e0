"""The keys of one installation: master key, what is derived from it, sealed values, the first credentials.

Invariants: files are 0600 in folders of 0700 and appear whole or not at all; a key is made once and never overwritten.
Values at rest are sealed by AES-256-GCM, bound to their place (aad = table:column:row id), with one byte that names
the key. The pepper comes from the master key by HKDF, so that a stolen database alone tests no password.
"""

import base64
import binascii
import dataclasses
import json
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastpix_server.app.settings import Settings
from fastpix_server.base import errors, ids

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 bits, random; safe far beyond 2^32 values per key
_TAG_BYTES = 16
_KEY_ID = 1
_MASTER_FILE = "master.key"
_CREDENTIALS_FILE = "credentials.json"


class BadKey(errors.FastpixError):
    """A key or credentials file is unusable; the description names it and the remedy."""

    message = "bad key"


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """The first access token and its workspace, as `<data>/credentials.json` holds them."""

    username: str
    password: str = dataclasses.field(repr=False)
    workspace_id: str
    workspace_key: str
    # What the last `fastpix up` on this folder answered at; None before the first.
    base_url: str | None = None


class Keys:
    """What the master key opens."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise BadKey(f"The master key must have {KEY_BYTES} bytes.")
        self._cipher = AESGCM(_derive(master, b"fastpix/seal/1"))
        self.path_master = _derive(master, b"fastpix/path-master/1")
        self.pepper = _derive(master, b"fastpix/pepper/1")

    def seal(self, plain: bytes, aad: str) -> bytes:
        """key id | nonce | ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return bytes([_KEY_ID]) + nonce + self._cipher.encrypt(nonce, plain, aad.encode())

    def open(self, sealed: bytes, aad: str) -> bytes:
        """Raises BadKey when the value was sealed under another key, for another place, or was changed."""
        if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[0] != _KEY_ID:
            raise BadKey("A sealed value is not ours, or its key is gone.")
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, aad.encode())
        except InvalidTag:
            raise BadKey("A sealed value cannot be opened with this master key.") from None


def prepare_folder(folder: Path) -> None:
    """Makes it, private to us; one that exists keeps its mode (it may be a mounted volume). Raises BadKey."""
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
    except OSError as fault:
        raise BadKey(f"{folder} cannot be used: {fault.strerror}. Set FASTPIX_DATA_DIR to a folder of yours.") from None


def load_keys(settings: Settings, *, may_create: bool = True) -> Keys:
    """From FASTPIX_MASTER_KEY, otherwise from the file, which the first start makes."""
    if settings.master_key:
        return Keys(_decode(settings.master_key.reveal(), "FASTPIX_MASTER_KEY"))
    path = settings.data_dir / _MASTER_FILE
    if not may_create and not path.exists():
        raise BadKey(
            f"There is no master key: neither FASTPIX_MASTER_KEY nor {path} exists. Is FASTPIX_DATA_DIR right?"
        )
    fresh = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return Keys(_decode(_read_or_create(path, fresh), str(path)))


def has_master_key(settings: Settings) -> bool:
    """Whether load_keys() would find one rather than make one."""
    return bool(settings.master_key) or (settings.data_dir / _MASTER_FILE).exists()


def load_credentials(settings: Settings) -> Credentials:
    """From the file, which the first start makes; FASTPIX_USERNAME and FASTPIX_PASSWORD replace that pair."""
    path = settings.data_dir / _CREDENTIALS_FILE
    fresh = {
        "username": settings.username or ids.new_uuid(),
        "password": settings.password.reveal() or secrets.token_urlsafe(32),
        "workspaceId": ids.new_uuid(),
        # Beacons carry it in host names and URLs: short, and of characters that both allow.
        "workspaceKey": secrets.token_hex(6),
    }
    found = _parse_credentials(_read_or_create(path, json.dumps(fresh, indent=2) + "\n"), path)
    if settings.username and (settings.username, settings.password.reveal()) != (found["username"], found["password"]):
        found |= {"username": settings.username, "password": settings.password.reveal()}
        _write(path, json.dumps(found, indent=2) + "\n")
    return Credentials(
        found["username"], found["password"], found["workspaceId"], found["workspaceKey"], found.get("baseUrl")
    )


def note_address(settings: Settings) -> None:
    """Where the platform of this folder answers, for commands in other terminals (fastpix/commands/access.py)."""
    path = settings.data_dir / _CREDENTIALS_FILE
    found = _parse_credentials(path.read_text("utf-8"), path)
    ports = {
        "http": settings.http.port,
        "rtmp": settings.ingest.rtmp_port,
        "rtmps": settings.ingest.rtmps_port,
        "srt": settings.ingest.srt_port,
    }
    noted = {**found, "baseUrl": settings.urls.public, "ports": ports}
    if noted != found:
        _write(path, json.dumps(noted, indent=2) + "\n")


def _parse_credentials(text: str, path: Path) -> dict[str, Any]:
    names = ("username", "password", "workspaceId", "workspaceKey")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(n), str) and found[n] for n in names):
        raise BadKey(f"{path} is damaged: it must hold {', '.join(names)}. Restore it, or remove it to make a new one.")
    return found


def _derive(master: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(master)


def _decode(text: str, origin: str) -> bytes:
    """Base64 or hex of 32 bytes."""
    try:
        text = text.strip()
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(f"{origin} must hold {KEY_BYTES} bytes in base64 or hex (for example: openssl rand -base64 32).")
    return key


def _read_or_create(path: Path, fresh: str) -> str:
    """Several roles may start at once: the first one to link its file wins, and all read the same."""
    if not path.exists():
        _write(path, fresh, may_replace=False)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise BadKey(f"{path} cannot be read: {fault}.") from None


def _write(path: Path, text: str, *, may_replace: bool = True) -> None:
    prepare_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if may_replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
