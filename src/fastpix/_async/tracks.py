"""`client.tracks`: more sounds and subtitles of a media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastpix import operations as op
from fastpix._async.api import AsyncApi
from fastpix.answers import Done, sent
from fastpix.types import Track


class AsyncTracksOperations:
    """Operations on the tracks of a media."""

    def __init__(self, api: AsyncApi) -> None:
        self._api = api

    async def create(
        self,
        *,
        media_id: str,
        url: str,
        type: Literal["audio", "subtitle"],
        language_code: str,
        language_name: str,
        title: str | None = None,
    ) -> Track:
        """Adds a sound (MP3, AAC, WAV, OGG) or subtitles (SRT, WebVTT) from a URL. Names of languages are unique."""
        track = sent(url=url, type=type, language_code=language_code, language_name=language_name, title=title)
        return await self._api.call(op.CREATE_TRACK, Track, path={"mediaId": media_id}, body={"tracks": track})

    async def update(
        self,
        *,
        media_id: str,
        track_id: str,
        language_code: str,
        language_name: str,
        title: str | None = None,
        url: str | None = None,
    ) -> Track:
        """Names it anew. `url` replaces the file, on servers that allow it."""
        path = {"mediaId": media_id, "trackId": track_id}
        body = sent(url=url, language_code=language_code, language_name=language_name, title=title)
        return await self._api.call(op.UPDATE_TRACK, Track, path=path, body=body)

    async def delete(self, *, media_id: str, track_id: str) -> Done:
        """Removes it from the media."""
        return await self._api.do(op.DELETE_TRACK, path={"mediaId": media_id, "trackId": track_id})

    async def generate_subtitles(
        self,
        *,
        media_id: str,
        track_id: str,
        language_code: str,
        language_name: str,
        metadata: Mapping[str, str] | None = None,
    ) -> Track:
        """Makes subtitles from the speech of an audio track; the answer is the new track, still preparing."""
        path = {"mediaId": media_id, "trackId": track_id}
        body = sent(language_code=language_code, language_name=language_name, metadata=metadata)
        return await self._api.call(op.GENERATE_SUBTITLES, Track, path=path, body=body)
