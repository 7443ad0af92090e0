"""Edits: what a media is made of, where that is more than one file from beginning to end."""

from alembic import op

revision = "0017_edits"
down_revision = "0015_webhooks"
branch_labels = None
depends_on = None

_UP = """
alter table media
    -- The media that a clip was cut from. It may be deleted and the clip lives on: no reference.
    add column source_media_id uuid,
    -- What was asked for: cuts, joins, watermarks, sounds and the files that they need; null: the file as it is.
    add column edit jsonb;
create index media_clips on media (source_media_id, created_at desc, id desc) where source_media_id is not null;

-- The files of an edit from 1 on; 0 is source_key.
alter table playback_targets add column other_source_keys text[] not null default '{}';

-- An edited media has several downloads: 0 is the video itself.
alter table media_fetches add column position integer not null default 0;
alter table media_fetches drop constraint media_fetches_pkey, add primary key (media_id, position);
"""

_DOWN = """
delete from media_fetches where position > 0;
alter table media_fetches drop constraint media_fetches_pkey, add primary key (media_id);
alter table media_fetches drop column position;
alter table playback_targets drop column other_source_keys;
alter table media drop column source_media_id, drop column edit;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
