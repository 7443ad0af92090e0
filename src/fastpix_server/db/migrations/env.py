"""What Alembic runs: the revisions, on the connection that db/migrate.py hands over, one transaction each."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
