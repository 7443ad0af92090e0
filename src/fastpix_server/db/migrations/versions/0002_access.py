"""Access: workspaces, the access tokens that open them, and answers kept for repeated Idempotency-Keys."""

from alembic import op

revision = "0002_access"
down_revision = "0001_jobs"
branch_labels = None
depends_on = None

_UP = """
create table workspaces (
    id uuid primary key,
    name text not null,
    -- Names the workspace in beacons; it is public and opens nothing.
    key text not null unique,
    created_at timestamptz not null default now()
);

create table access_tokens (
    -- The user name of Basic auth: a UUID unless the operator chose another for the first one.
    id text primary key,
    workspace_id uuid not null references workspaces (id) on delete cascade,
    name text not null,
    -- HMAC-SHA256 of the secret under the server's pepper; the secret itself is nowhere.
    secret_hash bytea not null,
    permissions text[] not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);
create index access_tokens_of_workspace on access_tokens (workspace_id);

create table idempotent_answers (
    workspace_id uuid not null,
    method text not null,
    target text not null,
    key text not null,
    status smallint not null,
    body bytea not null,
    created_at timestamptz not null default now(),
    primary key (workspace_id, method, target, key)
);
create index idempotent_answers_by_age on idempotent_answers (created_at);
"""


def upgrade() -> None:
    op.execute(_UP)
