"""Media: the asset, and the tracks that its source holds."""

from alembic import op

revision = "0005_media"
down_revision = "0004_playback"
branch_labels = None
depends_on = None

_UP = """
create table media (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    status text not null check (status in
        ('Created', 'Downloading', 'Downloaded', 'Validating', 'In Queue', 'Processing', 'Ready', 'Failed')),
    origin text not null check (origin in ('url', 'upload')),
    source_url text not null,
    title text,
    creator_id text,
    metadata jsonb not null,
    media_quality text not null,
    max_resolution text not null,
    source_access boolean not null,
    optimize_audio boolean not null,
    -- Known once the source is stored.
    size_bytes bigint,
    -- Known once the source is probed.
    container text,
    duration_s double precision,
    width integer,
    height integer,
    is_audio_only boolean not null default false,
    -- Why it failed: a word for machines, a sentence for people.
    failure_code text,
    failure_description text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index media_newest_first on media (workspace_id, created_at desc, id desc);

create table media_tracks (
    id uuid primary key,
    media_id uuid not null references media (id) on delete cascade,
    position integer not null,
    type text not null check (type in ('video', 'audio', 'subtitle')),
    status text not null,
    width integer,
    height integer,
    frame_rate text,
    language_code text,
    language_name text,
    unique (media_id, position)
);
"""


def upgrade() -> None:
    op.execute(_UP)
