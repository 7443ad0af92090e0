"""Live: streams, their sessions, the targets that they are pushed to, and the processes that take publishers in."""

from alembic import op

revision = "0011_live"
down_revision = "0009_drm"
branch_labels = None
depends_on = None

_UP = """
create table live_streams (
    -- On the wire without dashes; the id of the stream's playback target too.
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    status text not null check (status in ('idle', 'preparing', 'active', 'disabled')),
    -- Plain, because the API shows them again: whoever may read the table may publish.
    stream_key text not null,
    srt_secret text not null,
    srt_playback_secret text not null,
    max_resolution text not null,
    max_duration_s integer not null,
    reconnect_window_s integer not null,
    media_policy text not null check (media_policy in ('public', 'private')),
    enable_recording boolean not null,
    enable_dvr_mode boolean not null,
    metadata jsonb,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
create index live_streams_newest_first on live_streams (workspace_id, created_at desc, id desc);

-- One row per running process that takes publishers in. Whoever does not beat is dead, and what it held may be taken.
create table live_ingests (
    id uuid primary key,
    origin_url text not null,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp()
);

-- From the first publish to the end of the reconnect window; its id is that of the recording. No foreign key to the
-- stream: a session outlives a deleted one until its recording is finished.
create table live_sessions (
    id uuid primary key,
    stream_id uuid not null,
    workspace_id uuid not null,
    state text not null check (state in ('publishing', 'waiting', 'ended')),
    revision text not null,
    place text not null,
    max_lines integer not null,
    is_dvr boolean not null,
    is_recorded boolean not null,
    media_policy text not null,
    -- The ingest that has it in memory. Not a foreign key: a holder that is in no row is dead.
    holder uuid not null,
    protocol text not null,
    epoch integer not null default 1,
    -- The last epoch from which something could be played; below `epoch` until then.
    playable_epoch integer not null default 0,
    started_at timestamptz not null default clock_timestamp(),
    -- While waiting: until when the publisher may come back.
    deadline_at timestamptz,
    -- When the longest allowed time is over.
    ends_at timestamptz not null,
    ended_at timestamptz,
    end_reason text,
    -- The recording is finished, or there is none to finish.
    finalised_at timestamptz,
    -- No process has it in memory any more, and viewers are shown the recording: nobody has work with it.
    released_at timestamptz,
    viewers integer not null default 0,
    viewers_at timestamptz,
    health jsonb
);
create unique index live_sessions_one_open on live_sessions (stream_id) where state <> 'ended';
create index live_sessions_of_stream on live_sessions (stream_id, started_at);
create index live_sessions_held on live_sessions (holder) where released_at is null;

create table live_simulcast_targets (
    id uuid primary key,
    stream_id uuid not null references live_streams (id) on delete cascade,
    url text not null,
    stream_key text not null,
    is_enabled boolean not null,
    metadata jsonb,
    created_at timestamptz not null default clock_timestamp()
);
create index live_simulcast_targets_of_stream on live_simulcast_targets (stream_id, created_at, id);
"""

_DOWN = """
drop table live_simulcast_targets;
drop table live_sessions;
drop table live_ingests;
drop table live_streams;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
