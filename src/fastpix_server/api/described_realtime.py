"""What the OpenAPI document says of /data/realtime (see described.py)."""

from typing import Literal

from pydantic import Field

from fastpix_server.api.described import Described, TimeText
from fastpix_server.api.described_data import TimespanMs


class RealtimePoint(Described):
    interval_time: str = TimeText
    concurrent_viewers: int = Field(description="Distinct viewers of views that went on in this minute.")
    errors: int = Field(description="Error events that players reported in this minute.")


class RealtimeVideo(Described):
    video_id: str
    video_title: str | None
    concurrent_views: int
    concurrent_viewers: int


class RealtimeError(Described):
    code: str
    errors: int


class Realtime(Described):
    concurrent_views: int = Field(description="Views that go on: their last beacon is at most a minute old.")
    concurrent_viewers: int
    errors: int
    series: list[RealtimePoint] = Field(description="Minute by minute; the last one is still running.")
    top_videos: list[RealtimeVideo]
    top_errors: list[RealtimeError]


class RealtimeAnswer(Described):
    success: Literal[True]
    data: Realtime
    timespan: list[int] = TimespanMs
