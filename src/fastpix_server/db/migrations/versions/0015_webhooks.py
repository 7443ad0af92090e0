"""Webhooks: endpoints, what each of them is told, and which events wait to be handed out."""

from alembic import op

revision = "0015_webhooks"
down_revision = "0014_alerts"
branch_labels = None
depends_on = None

_UP = """
-- Null until the event has become deliveries, or was found to interest nobody.
alter table events add column dispatched_at timestamptz;
update events set dispatched_at = now();
create index events_undispatched on events (position) where dispatched_at is null;
create index events_of_workspace on events (workspace_id, created_at, position);

create table webhook_endpoints (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id) on delete cascade,
    url text not null,
    name text,
    status text not null check (status in ('verifying', 'active', 'inactive', 'disabled')),
    status_reason text,
    -- Rises with each change of URL or status by the owner: the answer to an older probe decides nothing.
    version integer not null default 1,
    -- Events from before then are not its.
    hears_since timestamptz not null default clock_timestamp(),
    probe_leased_until timestamptz,
    -- The signing key under the master key (AES-256-GCM), and the one before it for as long as it is honoured.
    sealed_secret bytea not null,
    secret_created_at timestamptz not null,
    sealed_previous_secret bytea,
    previous_secret_until timestamptz,
    failures integer not null default 0,
    failing_since timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    created_at timestamptz not null,
    check ((sealed_previous_secret is null) = (previous_secret_until is null))
);
-- Lists are newest first; the id settles ties.
create index webhook_endpoints_of_workspace on webhook_endpoints (workspace_id, created_at desc, id desc);
create index webhook_endpoints_verifying on webhook_endpoints (id) where status = 'verifying';

create table webhook_deliveries (
    id uuid primary key,
    endpoint_id uuid not null references webhook_endpoints (id) on delete cascade,
    event_id uuid not null,
    -- Of the event: the order in which an object's deliveries go out.
    position bigint not null,
    type text not null,
    object_type text not null,
    object_id text not null,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    -- For an earlier one of the same object. Only what waits for none is looked at by who claims, however much waits.
    is_waiting boolean not null default true,
    -- Since it was made or replayed; the list of all of them is bounded apart.
    tries integer not null default 0,
    attempts jsonb not null default '[]',
    next_at timestamptz not null default clock_timestamp(),
    lease uuid,
    leased_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    unique (endpoint_id, event_id)
);
create index webhook_deliveries_due on webhook_deliveries (endpoint_id, next_at)
    where state = 'pending' and not is_waiting;
create index webhook_deliveries_leased on webhook_deliveries (endpoint_id) where leased_until is not null;
create index webhook_deliveries_waiting on webhook_deliveries (endpoint_id, object_type, object_id, position)
    where state = 'pending' and is_waiting;
create index webhook_deliveries_holding on webhook_deliveries (endpoint_id, object_type, object_id, tries)
    where state = 'pending' and not is_waiting;
create index webhook_deliveries_log on webhook_deliveries (endpoint_id, created_at desc, id desc);
create index webhook_deliveries_by_age on webhook_deliveries (created_at);
"""

_DOWN = """
drop table webhook_deliveries, webhook_endpoints;
drop index events_of_workspace, events_undispatched;
alter table events drop column dispatched_at;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
