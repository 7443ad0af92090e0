"""Access tokens that callers make: when each was last used, which one is the operator's first, and lists by age."""

from alembic import op

revision = "0008_access_tokens"
down_revision = "0007_keys"
branch_labels = None
depends_on = None

_UP = """
alter table access_tokens
    add column last_used_at timestamptz,
    -- The operator's pair, put here at every start; its row outlives its revocation, or the start would undo it.
    add column is_first boolean not null default false;
update access_tokens set is_first = true where name = 'first';
delete from access_tokens where revoked_at is not null and not is_first;
drop index access_tokens_of_workspace;
-- Lists are newest first; the id settles ties, so that no token is on two pages.
create index access_tokens_of_workspace on access_tokens (workspace_id, created_at desc, id desc);
"""

_DOWN = """
drop index access_tokens_of_workspace;
create index access_tokens_of_workspace on access_tokens (workspace_id);
alter table access_tokens drop column last_used_at, drop column is_first;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
