# Made from _async/playback_ids.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.playback_ids` of media, and `client.live_streams.playback_ids` of streams: what a player is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix.answers import Done, sent
from fastpix.types import AccessPolicy, AccessRestrictions, PlaybackId, Resolution, RulePolicy, Rules


class PlaybackIdsOperations:
    """Operations on the playback ids of a media."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self,
        *,
        media_id: str,
        access_policy: AccessPolicy = "public",
        access_restrictions: AccessRestrictions | None = None,
        drm_configuration_id: str | None = None,
        resolution: Resolution | None = None,
    ) -> PlaybackId:
        """Another id for the same media. `resolution` is the highest that it shows."""
        body = sent(
            access_policy=access_policy,
            access_restrictions=access_restrictions,
            drm_configuration_id=drm_configuration_id,
            resolution=resolution,
        )
        return self._api.call(op.CREATE_PLAYBACK_ID, PlaybackId, path={"mediaId": media_id}, body=body)

    def list(self, *, media_id: str) -> tuple[PlaybackId, ...]:
        """All ids of the media; this list has no pages."""
        return self._api.call(op.LIST_PLAYBACK_IDS, tuple[PlaybackId, ...], path={"mediaId": media_id})

    def get(self, *, media_id: str, playback_id: str) -> PlaybackId:
        """One id with its restrictions."""
        path = {"mediaId": media_id, "playbackId": playback_id}
        return self._api.call(op.GET_PLAYBACK_ID, PlaybackId, path=path)

    def delete(self, *, media_id: str, playback_id: str) -> Done:
        """Stops the id at once; the media stays."""
        path, query = {"mediaId": media_id}, {"playbackId": playback_id}
        return self._api.do(op.DELETE_PLAYBACK_ID, path=path, query=query)

    def update_domains(
        self,
        *,
        media_id: str,
        playback_id: str,
        default_policy: RulePolicy = "allow",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
    ) -> Rules:
        """Replaces which pages may play it."""
        path = {"mediaId": media_id, "playbackId": playback_id}
        body = sent(default_policy=default_policy, allow=allow, deny=deny)
        return self._api.call(op.UPDATE_DOMAINS, Rules, path=path, body=body)

    def update_user_agents(
        self,
        *,
        media_id: str,
        playback_id: str,
        default_policy: RulePolicy = "allow",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
    ) -> Rules:
        """Replaces which programs may play it, by parts of their User-Agent."""
        path = {"mediaId": media_id, "playbackId": playback_id}
        body = sent(default_policy=default_policy, allow=allow, deny=deny)
        return self._api.call(op.UPDATE_USER_AGENTS, Rules, path=path, body=body)


class LivePlaybackIdsOperations:
    """Operations on the playback ids of a live stream."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self,
        *,
        stream_id: str,
        access_policy: Literal["public", "private"] = "public",
        access_restrictions: AccessRestrictions | None = None,
    ) -> PlaybackId:
        """Another id for the same stream."""
        body = sent(access_policy=access_policy, access_restrictions=access_restrictions)
        return self._api.call(op.CREATE_LIVE_PLAYBACK_ID, PlaybackId, path={"streamId": stream_id}, body=body)

    def get(self, *, stream_id: str, playback_id: str) -> PlaybackId:
        """One id with its restrictions."""
        path = {"streamId": stream_id, "playbackId": playback_id}
        return self._api.call(op.GET_LIVE_PLAYBACK_ID, PlaybackId, path=path)

    def delete(self, *, stream_id: str, playback_id: str) -> Done:
        """Stops the id; who is watching may see what is buffered."""
        path, query = {"streamId": stream_id}, {"playbackId": playback_id}
        return self._api.do(op.DELETE_LIVE_PLAYBACK_ID, path=path, query=query)

    def update_domains(
        self,
        *,
        stream_id: str,
        playback_id: str,
        default_policy: RulePolicy = "allow",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
    ) -> Rules:
        """Replaces which pages may play it."""
        path = {"streamId": stream_id, "playbackId": playback_id}
        body = sent(default_policy=default_policy, allow=allow, deny=deny)
        return self._api.call(op.UPDATE_LIVE_DOMAINS, Rules, path=path, body=body)

    def update_user_agents(
        self,
        *,
        stream_id: str,
        playback_id: str,
        default_policy: RulePolicy = "allow",
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
    ) -> Rules:
        """Replaces which programs may play it, by parts of their User-Agent."""
        path = {"streamId": stream_id, "playbackId": playback_id}
        body = sent(default_policy=default_policy, allow=allow, deny=deny)
        return self._api.call(op.UPDATE_LIVE_USER_AGENTS, Rules, path=path, body=body)
