"""Playlists and what they hold; what each media has in storage, and when its parts were last used."""

from alembic import op

revision = "0018_playlists_and_storage"
down_revision = "0017_edits"
branch_labels = None
depends_on = None

_UP = """
create table playlists (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    name text not null,
    reference_id text not null,
    type text not null check (type in ('manual', 'smart')),
    description text,
    media_limit integer not null,
    -- Of smart ones: by what they were filled, once, when they were made.
    play_order text,
    filters jsonb,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace_id, reference_id),
    check ((type = 'smart') = (play_order is not null and filters is not null))
);
create index playlists_newest_first on playlists (workspace_id, created_at desc, id desc);

create table playlist_media (
    playlist_id uuid not null references playlists (id) on delete cascade,
    -- A media that is deleted leaves its playlists in the same transaction.
    media_id uuid not null references media (id) on delete cascade,
    position bigint not null,
    primary key (playlist_id, media_id)
);
create index playlist_media_in_order on playlist_media (playlist_id, position);
create index playlist_media_of_media on playlist_media (media_id);

-- A shelf is one folder of what is made of a target on demand: a rendition, its encrypted copies, the pictures.
create table playback_shelves (
    target_id uuid not null,
    shelf text not null,
    size_bytes bigint not null default 0,
    used_at timestamptz not null default now(),
    primary key (target_id, shelf)
);
create index playback_shelves_by_use on playback_shelves (used_at, target_id, shelf) where size_bytes > 0;

-- Targets below whose place something was written or removed since they were counted.
create table playback_writes (
    target_id uuid primary key,
    written_at timestamptz not null default now()
);
create index playback_writes_oldest_first on playback_writes (written_at, target_id);

-- A media may have several targets, all below its own folder: they are found by it. "C": a prefix is a range.
create index playback_targets_by_place on playback_targets (place collate "C") where kind = 'planned';

create table media_storage (
    media_id uuid primary key references media (id) on delete cascade,
    source_bytes bigint not null,
    cache_bytes bigint not null,
    made_bytes bigint not null,
    recording_bytes bigint not null,
    object_count bigint not null,
    counted_at timestamptz not null
);
create index media_storage_oldest_first on media_storage (counted_at, media_id);
create index media_storage_largest_first on media_storage
    ((source_bytes + cache_bytes + made_bytes + recording_bytes) desc, media_id);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    for table in ("media_storage", "playback_writes", "playback_shelves", "playlist_media", "playlists"):
        op.execute(f"drop table {table}")
    op.execute("drop index playback_targets_by_place")
