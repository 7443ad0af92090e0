"""PostgreSQL: pool, units of work, notifications, migrations."""
