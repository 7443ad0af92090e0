"""DRM: the configuration that each workspace has, and the content keys of media that somebody may watch encrypted."""

from alembic import op

revision = "0009_drm"
down_revision = "0008_access_tokens"
branch_labels = None
depends_on = None

_UP = """
-- A volatile default: workspaces that exist already get one each, new ones get theirs by being inserted.
alter table workspaces add column drm_configuration_id uuid not null unique default gen_random_uuid();

create table playback_content_keys (
    target_id uuid primary key,
    -- Public: it stands in every manifest and header. Licence servers find the key by it.
    key_id uuid not null unique,
    -- The 16 bytes of the key under the master key (AES-256-GCM); nothing in the database opens them.
    sealed_key bytea not null,
    -- The constant IV of the scheme cbcs. Public: it stands in the header of every rendition.
    iv bytea not null check (octet_length(iv) = 16),
    created_at timestamptz not null default now()
);
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute("drop table playback_content_keys; alter table workspaces drop column drm_configuration_id")
