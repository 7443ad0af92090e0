# Made from _async/media.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.media`: videos and sounds, from a URL to something that plays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

from fastpix import errors
from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix.answers import Done, sent
from fastpix.types import (
    AccessPolicy,
    AccessRestrictions,
    Input,
    InputInfo,
    Media,
    MediaQuality,
    Moderation,
    Mp4Support,
    Resolution,
    SortOrder,
    Subtitles,
    Summary,
    Switched,
    VideoInput,
)
from fastpix.waiting import sleep

FIRST_LOOK_S, LAST_LOOK_S = 0.25, 5.0  # a short media is ready in a second, a long one is not worth asking about often


class MediaOperations:
    """Operations on media."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self,
        *,
        url: str | None = None,
        inputs: Sequence[Input] = (),
        access_policy: AccessPolicy = "public",
        access_restrictions: AccessRestrictions | None = None,
        drm_configuration_id: str | None = None,
        title: str | None = None,
        creator_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        max_resolution: Resolution | None = None,
        media_quality: MediaQuality | None = None,
        mp4_support: Mp4Support | None = None,
        source_access: bool | None = None,
        optimize_audio: bool | None = None,
        subtitles: Subtitles | None = None,
        summary: Summary | None = None,
        chapters: bool | None = None,
        named_entities: bool | None = None,
        moderation: Moderation | None = None,
    ) -> Media:
        """Makes a media from a URL. It answers at once; `wait_until_ready` waits for the rest.

        `url` is short for `inputs=[VideoInput(url=url)]`; more inputs add watermarks, sounds and subtitles.
        """
        return self._api.call(
            op.CREATE_MEDIA,
            Media,
            body=sent(
                inputs=[*([VideoInput(url=url)] if url else []), *inputs],
                access_policy=access_policy,
                access_restrictions=access_restrictions,
                drm_configuration_id=drm_configuration_id,
                title=title,
                creator_id=creator_id,
                metadata=metadata,
                max_resolution=max_resolution,
                media_quality=media_quality,
                mp4_support=mp4_support,
                source_access=source_access,
                optimize_audio=optimize_audio,
                subtitles=subtitles,
                summary=summary,
                chapters=chapters,
                named_entities=named_entities,
                moderation=moderation,
            ),
        )

    def list(self, *, limit: int | None = None, page: int = 1, order_by: SortOrder | None = None) -> Pages[Media]:
        """Every media of the workspace, the newest first. `limit` is the size of a page, 1 to 50."""
        return self._api.list(op.LIST_MEDIA, Media, query={"orderBy": order_by}, limit=limit, page=page)

    def get(self, *, media_id: str) -> Media:
        """One media. The id of an upload is the id of its media."""
        return self._api.call(op.GET_MEDIA, Media, path={"mediaId": media_id})

    def update(
        self,
        *,
        media_id: str,
        title: str | None = None,
        creator_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Media:
        """Changes what is given. `metadata` is replaced whole."""
        body = sent(title=title, creator_id=creator_id, metadata=metadata)
        return self._api.call(op.UPDATE_MEDIA, Media, path={"mediaId": media_id}, body=body)

    def delete(self, *, media_id: str) -> Done:
        """Deletes the media and its files; its playback ids stop working."""
        return self._api.do(op.DELETE_MEDIA, path={"mediaId": media_id})

    def wait_until_ready(self, *, media_id: str, timeout_s: float = 600) -> Media:
        """Looks again and again until the media is Ready.

        Raises MediaFailed when it ends as Failed, and WaitedTooLong after `timeout_s`.
        """
        ends_at = time.monotonic() + timeout_s
        wait_s = FIRST_LOOK_S
        while True:
            media = self.get(media_id=media_id)
            if media.status == "Ready":
                return media
            if media.status == "Failed":
                raise errors.MediaFailed(media)
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                raise errors.WaitedTooLong(f"The media {media_id} is {media.status} after {timeout_s:g} s")
            sleep(min(wait_s, left_s))
            wait_s = min(LAST_LOOK_S, wait_s * 1.5)

    def input_info(self, *, media_id: str) -> InputInfo:
        """What is known of the file that the media was made from."""
        return self._api.call(op.GET_INPUT_INFO, InputInfo, path={"mediaId": media_id})

    def list_clips(
        self, *, media_id: str, limit: int | None = None, page: int = 1, order_by: SortOrder | None = None
    ) -> Pages[Media]:
        """Media that were cut out of this one; only a part of the keys is there."""
        path, query = {"mediaId": media_id}, {"orderBy": order_by}
        return self._api.list(op.LIST_MEDIA_CLIPS, Media, path=path, query=query, limit=limit, page=page)

    def update_source_access(self, *, media_id: str, source_access: bool) -> Media:
        """Whether the original file can be downloaded."""
        body = sent(source_access=source_access)
        return self._api.call(op.UPDATE_SOURCE_ACCESS, Media, path={"mediaId": media_id}, body=body)

    def update_mp4_support(self, *, media_id: str, mp4_support: Mp4Support) -> Media:
        """Which files are made to download; `none` removes them."""
        body = sent(mp4_support=mp4_support)
        return self._api.call(op.UPDATE_MP4_SUPPORT, Media, path={"mediaId": media_id}, body=body)

    def update_summary(self, *, media_id: str, generate: bool, summary_length: int | None = None) -> Switched:
        """Whether a summary is made, of so many words (30 to 250)."""
        body = sent(generate=generate, summary_length=summary_length)
        return self._api.call(op.UPDATE_SUMMARY, Switched, path={"mediaId": media_id}, body=body)

    def get_summary(self, *, media_id: str) -> str:
        """The summary. A BadRequest while there is none."""
        return self._api.call(op.GET_SUMMARY, str, path={"mediaId": media_id})

    def update_chapters(self, *, media_id: str, chapters: bool) -> Switched:
        """Whether chapters are made; they are on the media when they are."""
        body = sent(chapters=chapters)
        return self._api.call(op.UPDATE_CHAPTERS, Switched, path={"mediaId": media_id}, body=body)

    def update_named_entities(self, *, media_id: str, named_entities: bool) -> Switched:
        """Whether people, places and the like are looked for."""
        body = sent(named_entities=named_entities)
        return self._api.call(op.UPDATE_NAMED_ENTITIES, Switched, path={"mediaId": media_id}, body=body)

    def update_moderation(self, *, media_id: str, type: Literal["video", "audio", "av"]) -> Switched:
        """What is looked at for content that does not belong here."""
        body = {"moderation": {"type": type}}
        return self._api.call(op.UPDATE_MODERATION, Switched, path={"mediaId": media_id}, body=body)
