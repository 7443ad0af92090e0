"""Recordings: kinds of playback targets, and the journal of what was stored of live sessions."""

from alembic import op

revision = "0012_recordings"
down_revision = "0011_live"
branch_labels = None
depends_on = None

_UP = """
-- planned: place, source_key and plan. live: payload is the session, or null. recorded: place, and payload is the list
-- of its segments.
alter table playback_targets
    add column kind text not null default 'planned' check (kind in ('planned', 'live', 'recorded')),
    add column payload jsonb,
    alter column place drop not null,
    alter column source_key drop not null,
    alter column plan drop not null,
    add constraint playback_targets_kind check (
        case kind
            when 'planned' then place is not null and source_key is not null and plan is not null
            when 'recorded' then place is not null and payload is not null
            else true
        end
    );

-- One row per session that stored a segment, or is over. From finished_at on its journal takes nothing more, so an
-- ingest that was taken for dead cannot write into a recording that is already shown.
create table live_recordings (
    session_id uuid primary key,
    finished_at timestamptz
);

-- What is known of a rendition in one epoch (connection of the publisher), as the packager told it.
create table live_renditions (
    session_id uuid not null references live_recordings (session_id) on delete cascade,
    rendition text not null,
    epoch integer not null,
    info jsonb not null,
    primary key (session_id, rendition, epoch)
);

-- A row is written after its object is stored: what is here exists.
create table live_segments (
    session_id uuid not null references live_recordings (session_id) on delete cascade,
    rendition text not null,
    number integer not null,
    epoch integer not null,
    start_ticks bigint not null,
    duration_ticks integer not null,
    timescale integer not null,
    pdt_ms bigint not null,
    size_bytes integer not null,
    is_discontinuity boolean not null,
    primary key (session_id, rendition, number)
);

-- The wish for a clip; its id is that of its media. One per distinct range, playback id and access.
create table live_clips (
    id uuid primary key,
    session_id uuid not null,
    workspace_id uuid not null,
    place text not null,
    playback_id uuid not null,
    start_s integer not null,
    end_s integer not null,
    access text not null check (access in ('public', 'private')),
    created_at timestamptz not null default now(),
    unique (session_id, playback_id, start_s, end_s, access)
);

alter table media
    add column stream_id uuid,
    drop constraint media_origin_check,
    add constraint media_origin_check check (origin in ('url', 'upload', 'live', 'clip'));
create index media_of_streams on media (stream_id, origin, created_at desc, id desc) where stream_id is not null;
"""

_DOWN = """
drop index media_of_streams;
delete from media where origin in ('live', 'clip');
alter table media
    drop column stream_id,
    drop constraint media_origin_check,
    add constraint media_origin_check check (origin in ('url', 'upload'));
drop table live_clips;
drop table live_segments;
drop table live_renditions;
drop table live_recordings;
delete from playback_targets where kind <> 'planned';
alter table playback_targets
    drop constraint playback_targets_kind,
    drop column kind,
    drop column payload,
    alter column place set not null,
    alter column source_key set not null,
    alter column plan set not null;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
