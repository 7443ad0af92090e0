"""Playback: published targets, public ids, demands for segments, leases of who makes them, measured sizes."""

from alembic import op

revision = "0004_playback"
down_revision = "0003_outbox"
branch_labels = None
depends_on = None

_UP = """
create table playback_targets (
    id uuid primary key,
    workspace_id uuid not null,
    place text not null,
    source_key text not null,
    plan jsonb not null,
    published_at timestamptz not null default now()
);

-- No foreign key to playback_targets: a public id exists from the moment its media is created, long before
-- there is anything to publish. A deleted id stays as a tombstone, so that viewers hear 404 and not 401.
create table playback_ids (
    id uuid primary key,
    workspace_id uuid not null,
    target_id uuid not null,
    access_policy text not null check (access_policy in ('public', 'private', 'drm')),
    access_restrictions jsonb not null,
    resolution text,
    drm_configuration_id uuid,
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create index playback_ids_target on playback_ids (target_id, created_at, id) where deleted_at is null;

-- One row per thing that a viewer waits for or that could not be made; made things have no row.
create table playback_demands (
    target_id uuid not null,
    artifact text not null,
    wanted_at timestamptz not null default now(),
    attempts integer not null default 0,
    fault_code text,
    fault_text text,
    is_final boolean not null default false,
    refused_until timestamptz,
    primary key (target_id, artifact)
);
create index playback_demands_wanted on playback_demands (wanted_at);

-- Who makes the segments of one rendition now. A holder renews; a dead holder's lease runs out.
create table playback_leases (
    target_id uuid not null,
    rendition text not null,
    holder uuid not null,
    expires_at timestamptz not null,
    primary key (target_id, rendition)
);

create table playback_sizes (
    target_id uuid not null,
    rendition text not null,
    revision text not null,
    peak_bps bigint not null,
    average_bps bigint not null,
    primary key (target_id, rendition)
);
"""

_DOWN = """
drop table playback_sizes;
drop table playback_leases;
drop table playback_demands;
drop table playback_ids;
drop table playback_targets;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
