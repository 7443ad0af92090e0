"""Uploads: resumable sessions; and how far the download of a URL has come."""

from alembic import op

revision = "0006_uploads"
down_revision = "0005_media"
branch_labels = None
depends_on = None

_UP = """
create table uploads (
    -- Becomes the id of the media.
    id uuid primary key,
    workspace_id uuid not null references workspaces (id),
    status text not null check (status in ('waiting', 'cancelled', 'completed', 'expired')),
    cors_origin text not null,
    -- A browser gets a URL that it first has to POST to.
    is_browser boolean not null,
    -- pushMediaSettings as accepted.
    settings jsonb not null,
    -- Keys the signature of this upload's URL, and opens nothing else.
    secret bytea not null,
    -- What the client said the whole file has; known from the first chunk on.
    total_bytes bigint,
    -- Four hours to begin; from then on a day since the last byte.
    expires_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index uploads_waiting on uploads (workspace_id, created_at desc, id desc) where status = 'waiting';
create index uploads_by_expiry on uploads (expires_at) where status = 'waiting';
create index uploads_over on uploads (updated_at) where status <> 'waiting';

-- What a download must know to go on after a crash: which version of the file its stored bytes are of.
create table media_fetches (
    media_id uuid primary key references media (id) on delete cascade,
    validator text,
    total_bytes bigint,
    started_at timestamptz not null default now()
);
"""


def upgrade() -> None:
    op.execute(_UP)
