"""Whether anybody works: what workers and those who ask about them agree on. It brings no procrastinate with it."""

from sqlalchemy import text

from fastpix_server.db.pool import Tx

HEARTBEAT_S = 3.0
# Two heartbeats and a little: one lost beat is no death.
STALLED_AFTER_S = 7.0


async def has_worker(tx: Tx) -> bool:
    """True when one was heard lately, on whatever machine."""
    heard = await tx.execute(
        text(
            "select exists (select from procrastinate_workers"
            " where last_heartbeat > now() - make_interval(secs => :age_s))"
        ),
        {"age_s": STALLED_AFTER_S},
    )
    return bool(heard.scalar_one())
