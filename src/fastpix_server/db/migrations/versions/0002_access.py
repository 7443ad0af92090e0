"""Tables of access."""

revision = "0002_access"
down_revision = "0001_jobs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The owner of this domain writes its tables here."""
