# Made from _async/live_streams.py by tools/make_sync.py: change that file, and run `python -m tools.make_sync`.
"""`client.live_streams` and `client.simulcasts`: from an encoder to viewers, and to other platforms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from fastpix import errors
from fastpix import operations as op
from fastpix._sync.api import Api
from fastpix._sync.pages import Pages
from fastpix._sync.playback_ids import LivePlaybackIdsOperations
from fastpix.answers import Done, sent
from fastpix.types import (
    AccessRestrictions,
    LiveStream,
    Media,
    MediaQuality,
    SimulcastTarget,
    SortOrder,
    StreamHealth,
    ViewerCount,
)
from fastpix.waiting import sleep

LOOK_S = 1.0


class LiveStreamsOperations:
    """Operations on live streams; `playback_ids` has those on their playback ids."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.playback_ids = LivePlaybackIdsOperations(api)

    def create(
        self,
        *,
        access_policy: Literal["public", "private"] = "public",
        access_restrictions: AccessRestrictions | None = None,
        max_resolution: Literal["1080p", "720p", "480p"] | None = None,
        media_policy: Literal["public", "private"] | None = None,
        media_quality: MediaQuality | None = None,
        reconnect_window: int | None = None,
        enable_recording: bool | None = None,
        enable_dvr_mode: bool | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> LiveStream:
        """Makes a stream. `access_policy` is of its playback, `media_policy` of its recordings.

        `reconnect_window` is how many seconds a lost encoder has to come back into the same session, 60 to 1800.
        """
        body = {
            "playbackSettings": sent(access_policy=access_policy, access_restrictions=access_restrictions),
            "inputMediaSettings": sent(
                max_resolution=max_resolution,
                reconnect_window=reconnect_window,
                media_policy=media_policy,
                media_quality=media_quality,
                metadata=metadata,
                enable_dvr_mode=enable_dvr_mode,
                enable_recording=enable_recording,
            ),
        }
        return self._api.call(op.CREATE_STREAM, LiveStream, body=body)

    def list(self, *, limit: int | None = None, page: int = 1, order_by: SortOrder | None = None) -> Pages[LiveStream]:
        """Every stream, the newest first, with its secrets."""
        return self._api.list(op.LIST_STREAMS, LiveStream, query={"orderBy": order_by}, limit=limit, page=page)

    def get(self, *, stream_id: str) -> LiveStream:
        """One stream."""
        return self._api.call(op.GET_STREAM, LiveStream, path={"streamId": stream_id})

    def update(
        self, *, stream_id: str, metadata: Mapping[str, str] | None = None, reconnect_window: int | None = None
    ) -> LiveStream:
        """Changes what is given. `metadata` is replaced whole."""
        body = sent(metadata=metadata, reconnect_window=reconnect_window)
        return self._api.call(op.UPDATE_STREAM, LiveStream, path={"streamId": stream_id}, body=body)

    def delete(self, *, stream_id: str) -> Done:
        """Disconnects the encoder and deletes the stream; recordings stay as media."""
        return self._api.do(op.DELETE_STREAM, path={"streamId": stream_id})

    def enable(self, *, stream_id: str) -> Done:
        """Lets encoders in again."""
        return self._api.do(op.ENABLE_STREAM, path={"streamId": stream_id})

    def disable(self, *, stream_id: str) -> Done:
        """Disconnects the encoder and lets none in."""
        return self._api.do(op.DISABLE_STREAM, path={"streamId": stream_id})

    def finish(self, *, stream_id: str) -> Done:
        """Ends the running session now, without waiting for the reconnect window."""
        return self._api.do(op.FINISH_STREAM, path={"streamId": stream_id})

    def viewer_count(self, *, stream_id: str) -> ViewerCount:
        """About how many watch now."""
        return self._api.call(op.GET_VIEWER_COUNT, ViewerCount, path={"streamId": stream_id})

    def health(self, *, stream_id: str) -> StreamHealth:
        """What the encoder sends and how it arrives. Ours: the official service has no such operation."""
        return self._api.call(op.GET_STREAM_HEALTH, StreamHealth, path={"streamId": stream_id})

    def wait_until_active(self, *, stream_id: str, timeout_s: float = 600) -> LiveStream:
        """Looks every second until viewers can play the stream. Raises WaitedTooLong after `timeout_s`."""
        ends_at = time.monotonic() + timeout_s
        while True:
            stream = self.get(stream_id=stream_id)
            if stream.status == "active":
                return stream
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                raise errors.WaitedTooLong(f"The stream {stream_id} is {stream.status} after {timeout_s:g} s")
            sleep(min(LOOK_S, left_s))

    def list_clips(
        self, *, stream_id: str, limit: int | None = None, page: int = 1, order_by: SortOrder | None = None
    ) -> Pages[Media]:
        """Media that were cut out of the stream while it ran."""
        path, query = {"livestreamId": stream_id}, {"orderBy": order_by}
        return self._api.list(op.LIST_LIVE_CLIPS, Media, path=path, query=query, limit=limit, page=page)


class SimulcastsOperations:
    """Operations on the targets that a stream is pushed to as well."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def create(
        self, *, stream_id: str, url: str, stream_key: str, metadata: Mapping[str, str] | None = None
    ) -> SimulcastTarget:
        """Adds a target, such as `rtmp://a.rtmp.example.com/live2`. The stream must be idle."""
        body = sent(url=url, stream_key=stream_key, metadata=metadata)
        return self._api.call(op.CREATE_SIMULCAST, SimulcastTarget, path={"streamId": stream_id}, body=body)

    def get(self, *, stream_id: str, simulcast_id: str) -> SimulcastTarget:
        """One target."""
        path = {"streamId": stream_id, "simulcastId": simulcast_id}
        return self._api.call(op.GET_SIMULCAST, SimulcastTarget, path=path)

    def update(
        self,
        *,
        stream_id: str,
        simulcast_id: str,
        is_enabled: bool | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> SimulcastTarget:
        """Turns it on or off, while the stream runs too."""
        path = {"streamId": stream_id, "simulcastId": simulcast_id}
        body = sent(is_enabled=is_enabled, metadata=metadata)
        return self._api.call(op.UPDATE_SIMULCAST, SimulcastTarget, path=path, body=body)

    def delete(self, *, stream_id: str, simulcast_id: str) -> Done:
        """Stops the push and forgets the target."""
        path = {"streamId": stream_id, "simulcastId": simulcast_id}
        return self._api.do(op.DELETE_SIMULCAST, path=path)
