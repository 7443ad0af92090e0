"""Recordings: kinds of playback targets, and the journal of what was stored of live sessions."""

from alembic import op

revision = "0012_recordings"
down_revision = "0007_keys"
branch_labels = None
depends_on = None

_UP = """
-- planned: place, source_key and plan. live: payload is the session, or null. recorded: place, and payload is the list
-- of its segments.
alter table playback_targets
    add column kind text not null default 'planned' check (kind in ('planned', 'live', 'recorded')),
    add column payload jsonb,
    alter column place drop not null,
    alter column source_key drop not null,
    alter column plan drop not null,
    add constraint playback_targets_kind check (
        case kind
            when 'planned' then place is not null and source_key is not null and plan is not null
            when 'recorded' then place is not null and payload is not null
            else true
        end
    );
"""

_DOWN = """
delete from playback_targets where kind <> 'planned';
alter table playback_targets
    drop constraint playback_targets_kind,
    drop column kind,
    drop column payload,
    alter column place set not null,
    alter column source_key set not null,
    alter column plan set not null;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
