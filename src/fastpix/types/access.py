"""Signing keys, access tokens and the workspace."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastpix.types.base import Shape

Permission = Literal["*", "video:read", "video:write", "data:read", "data:write", "system:read", "system:write"]


class NewSigningKey(Shape, frozen=True, kw_only=True):
    """`private_key` is base64 of a PKCS#8 PEM text and cannot be read again."""

    id: str
    private_key: str
    created_at: datetime | None = None


class ListedSigningKey(Shape, frozen=True, kw_only=True):
    id: str
    created_at: datetime | None = None


class SigningKey(Shape, frozen=True, kw_only=True):
    """`public_key` is a PEM text."""

    signing_key_id: str
    public_key: str
    workspace_id: str | None = None


class NewAccessToken(Shape, frozen=True, kw_only=True):
    """`id` and `secret_key` are username and password; the secret cannot be read again."""

    id: str
    secret_key: str
    name: str = ""
    permissions: tuple[str, ...] = ()
    created_at: datetime | None = None


class AccessToken(Shape, frozen=True, kw_only=True):
    id: str
    name: str = ""
    permissions: tuple[str, ...] = ()
    created_at: datetime | None = None
    last_used_at: datetime | None = None


class Workspace(Shape, frozen=True, kw_only=True):
    """`workspace_key` names the workspace in beacons and is public."""

    workspace_id: str
    name: str = ""
    workspace_key: str | None = None
    created_at: datetime | None = None


class StoredMedia(Shape, frozen=True, kw_only=True):
    """What one media takes."""

    media_id: str
    title: str | None = None
    total_bytes: int = 0
    source_bytes: int = 0
    cache_bytes: int = 0
    made_bytes: int = 0
    recording_bytes: int = 0
    object_count: int = 0
    counted_at: datetime | None = None


class Storage(Shape, frozen=True, kw_only=True):
    """What a workspace takes; `cache_bytes` can be made again from the sources."""

    total_bytes: int = 0
    source_bytes: int = 0
    cache_bytes: int = 0
    made_bytes: int = 0
    recording_bytes: int = 0
    object_count: int = 0
    media_count: int = 0
    media: tuple[StoredMedia, ...] = ()
