"""Tables of outbox."""

revision = "0003_outbox"
down_revision = "0002_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The owner of this domain writes its tables here."""
