"""Tables of media."""

revision = "0005_media"
down_revision = "0004_playback"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The owner of this domain writes its tables here."""
