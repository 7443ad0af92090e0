"""The job queue: procrastinate's own schema, as the installed 3.x release ships it."""

from importlib import resources

from alembic import op

revision = "0001_jobs"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    script = resources.files("procrastinate").joinpath("sql/schema.sql").read_text("utf-8")
    # Its functions contain `%` and `:`, and it is many statements: it goes to the driver's connection untouched.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
