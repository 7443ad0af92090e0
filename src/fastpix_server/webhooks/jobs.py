"""The upkeep of webhooks: logs that end, secrets that are honoured no more, endpoints that cannot keep up."""

from fastpix_server.db.pool import Database
from fastpix_server.jobs.registry import Registry
from fastpix_server.outbox.events import KEEP_DAYS
from fastpix_server.webhooks import deliveries_store, schedule, service, store

TIDY_JOB = "webhooks.tidy"
EVERY_TEN_MINUTES = "*/10 * * * *"
# What was delivered or given up, of each endpoint: some days of a busy workspace. Waiting ones stay KEEP_DAYS.
LOG_MAX = 10_000
# What may wait for one endpoint: half an hour of a busy workspace. One that is further behind catches up by replays.
BACKLOG_MAX = 100_000


class WebhookJobs:
    def __init__(self, db: Database) -> None:
        self._db = db

    def register(self, registry: Registry) -> None:
        registry.every(EVERY_TEN_MINUTES, TIDY_JOB, self.tidy)

    async def tidy(self) -> None:
        """A transaction each: none holds what couriers need for long."""
        async with self._db.unit() as tx:
            await store.forget_previous_secrets(tx)
        async with self._db.unit() as tx:
            await deliveries_store.purge(tx, keep_days=KEEP_DAYS, keep_ended=LOG_MAX)
            waiting = await deliveries_store.list_waiting_objects(tx)
            overfull = await deliveries_store.list_overfull(tx, BACKLOG_MAX)
        for endpoint_id in {one for one, _, _ in waiting}:
            async with self._db.unit() as tx:
                await deliveries_store.lock_endpoint(tx, endpoint_id)
                objects = [one for one in waiting if one[0] == endpoint_id]
                await deliveries_store.release(tx, objects, hold_tries=schedule.HOLD_TRIES)
        for endpoint_id in overfull:
            async with self._db.unit() as tx:
                endpoint = await store.find_by_id(tx, endpoint_id)
                if endpoint is not None:
                    await service.give_up(tx, endpoint, "backlog", f"more than {BACKLOG_MAX} deliveries were waiting")
