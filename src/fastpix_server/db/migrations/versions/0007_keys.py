"""Keys: the public halves of the RSA keys that sign playback tokens."""

from alembic import op

revision = "0007_keys"
down_revision = "0006_uploads"
branch_labels = None
depends_on = None

_UP = """
create table signing_keys (
    id uuid primary key,
    workspace_id uuid not null references workspaces (id) on delete cascade,
    -- SubjectPublicKeyInfo in PEM. The private half was given to the caller and is nowhere here.
    public_pem text not null,
    created_at timestamptz not null default clock_timestamp()
);
-- Lists are newest first; the id settles ties, so that no key is on two pages.
create index signing_keys_of_workspace on signing_keys (workspace_id, created_at desc, id desc);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("drop table signing_keys")
