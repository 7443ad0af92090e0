"""Outbox: what happened, in the order in which it was told."""

from alembic import op

revision = "0003_outbox"
down_revision = "0002_access"
branch_labels = None
depends_on = None

_UP = """
create table events (
    id uuid primary key,
    -- Roughly the order of telling; transactions may commit in another one.
    position bigint generated always as identity unique,
    workspace_id uuid not null,
    type text not null,
    object_type text not null,
    object_id text not null,
    status text not null,
    data jsonb not null,
    created_at timestamptz not null default clock_timestamp()
);
create index events_of_object on events (object_id, position);
create index events_by_age on events (created_at);
"""


def upgrade() -> None:
    op.execute(_UP)
