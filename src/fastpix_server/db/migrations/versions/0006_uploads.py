"""Tables of uploads."""

revision = "0006_uploads"
down_revision = "0005_media"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The owner of this domain writes its tables here."""
