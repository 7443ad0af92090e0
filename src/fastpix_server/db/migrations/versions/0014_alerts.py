"""Alerts: rules over the metrics of video data, and how each stands."""

from alembic import op

revision = "0014_alerts"
down_revision = "0012_recordings"
branch_labels = None
depends_on = None

_UP = """
create table view_alerts (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id) on delete cascade,
    name text not null,
    metric text not null,
    measurement text not null,
    condition text not null check (condition in ('above', 'below')),
    threshold double precision not null,
    window_minutes integer not null,
    minimum_views integer not null,
    -- Texts as in filterby[].
    filters jsonb not null,
    url text,
    -- The signing key of deliveries under the master key (AES-256-GCM).
    sealed_secret bytea,
    is_enabled boolean not null default true,
    created_at timestamptz not null,
    version integer not null default 1,
    state text not null default 'quiet' check (state in ('quiet', 'breached')),
    within_since timestamptz,
    breached_at timestamptz,
    evaluated_at timestamptz,
    last_value double precision,
    last_views bigint,
    check ((url is null) = (sealed_secret is null))
);
-- Lists are newest first; the id settles ties.
create index view_alerts_of_workspace on view_alerts (workspace_id, created_at desc, id desc);
create index view_alerts_due on view_alerts (evaluated_at nulls first, id) where is_enabled;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("drop table view_alerts")
