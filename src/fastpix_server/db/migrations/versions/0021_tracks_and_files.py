"""Added tracks and files of media: what hangs on a playback target beside its own plan."""

from alembic import op

revision = "0021_tracks_and_files"
down_revision = "0018_playlists_and_storage"
branch_labels = None
depends_on = None

_UP = """
-- An added sound is a planned target of its own, with the cuts of the target that it is a part of.
alter table playback_targets add column part_of uuid;
create index playback_targets_parts on playback_targets (part_of) where part_of is not null;

-- What viewers of a target are shown beside its own renditions, in the order of `position`. `name` is a part of URLs.
-- sound: part_id is the target of the sound; text: a subtitle track; file: a download; label: other words for one of
-- the target's own sounds.
create table playback_extras (
    target_id uuid not null,
    name text not null,
    kind text not null check (kind in ('sound', 'text', 'file', 'label')),
    part_id uuid,
    payload jsonb not null,
    position bigint generated always as identity,
    primary key (target_id, name)
);

-- url: of an added track; null for what the source holds. version: of its file, from 1; 0 for the source's own.
alter table media_tracks
    add column url text,
    add column title text,
    add column version integer not null default 0;

-- Static files that were asked for. A new wish is a new row, so a job of an old one finds nothing to finish.
create table media_files (
    id uuid primary key,
    media_id uuid not null references media (id) on delete cascade,
    kind text not null check (kind in ('capped_4k', 'audioOnly')),
    status text not null check (status in ('preparing', 'ready', 'failed')),
    width integer,
    height integer,
    created_at timestamptz not null default now(),
    unique (media_id, kind)
);
"""

_DOWN = """
drop table media_files;
delete from media_tracks where version > 0;
alter table media_tracks
    drop column url,
    drop column title,
    drop column version;
drop table playback_extras;
delete from playback_targets where part_of is not null;
alter table playback_targets drop column part_of;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
