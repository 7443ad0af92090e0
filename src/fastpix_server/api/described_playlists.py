"""Playlists in the OpenAPI document; what storage holds, too. As in described.py."""

from typing import Literal

from pydantic import Field

from fastpix_server.api.described import Described, Pagination, TimeText, UuidText, maybe

PlayOrder = Literal["createdDate ASC", "createdDate DESC"]


class DateRange(Described):
    start_date: str = Field(json_schema_extra={"format": "date"})
    end_date: str = Field(json_schema_extra={"format": "date"})


class PlaylistFilters(Described):
    created_date: DateRange
    updated_date: DateRange = maybe()


class PlaylistMedia(Described):
    created_at: str = TimeText
    creator_id: str = maybe()
    duration: float = maybe(description="Seconds. HH:MM:SS for clients of older generations.")
    id: str = UuidText
    source_resolution: str = maybe()
    status: str
    thumbnail: str = maybe()
    title: str = maybe()


class ManualPlaylist(Described):
    id: str = UuidText
    name: str
    reference_id: str
    type: Literal["manual"]
    description: str = maybe()
    media_list: list[PlaylistMedia]
    workspace_id: str = UuidText
    created_at: str = TimeText
    updated_at: str = TimeText
    media_count: int


class SmartPlaylist(Described):
    id: str = UuidText
    name: str
    reference_id: str
    type: Literal["smart"]
    description: str = maybe()
    play_order: PlayOrder
    metadata: PlaylistFilters
    media_list: list[PlaylistMedia]
    workspace_id: str = UuidText
    created_at: str = TimeText
    updated_at: str = TimeText
    media_count: int


class PlaylistAnswer(Described):
    success: Literal[True]
    data: ManualPlaylist | SmartPlaylist


class ListedPlaylist(Described):
    id: str = UuidText
    name: str
    type: Literal["manual", "smart"]
    reference_id: str
    created_at: str = TimeText
    media_count: int


class PlaylistPage(Described):
    success: Literal[True]
    data: list[ListedPlaylist]
    pagination: Pagination


class StoredBytes(Described):
    total_bytes: int
    source_bytes: int = Field(description="What was uploaded or fetched.")
    cache_bytes: int = Field(description="Made on demand; it can be made again.")
    made_bytes: int = Field(description="Made once and kept.")
    recording_bytes: int = Field(description="Recordings and clips of live streams.")
    object_count: int


class StoredMedia(StoredBytes):
    media_id: str = UuidText
    title: str = maybe()
    counted_at: str = TimeText


class StoredOfWorkspace(StoredBytes):
    media_count: int
    media: list[StoredMedia]


class StorageAnswer(Described):
    success: Literal[True]
    data: StoredOfWorkspace
    pagination: Pagination
