import pytest
from sqlalchemy import text
from tests.playing import Playing
from tests.unit.playback.plans import plan

from fastpix_server.base import ids
from fastpix_server.playback import service, store
from fastpix_server.playback.model import Measured


async def create(stage: Playing, target_id: str, **options: object) -> service.PlaybackId:
    async with stage.db.unit() as tx:
        return await service.create_id(
            tx,
            workspace_id=ids.new_uuid(),
            target_id=target_id,
            access_policy="public",
            **options,  # type: ignore[arg-type]
        )


async def publish(stage: Playing, target_id: str, revision_place: str = "media/x/r") -> None:
    async with stage.db.unit() as tx:
        await service.publish(
            tx,
            target_id=target_id,
            workspace_id=ids.new_uuid(),
            source_key="sources/x/original",
            place=revision_place,
            plan=plan(),
        )


async def test_an_id_is_public_json_of_the_contract(stage: Playing) -> None:
    made = await create(stage, ids.new_uuid())
    rule = {"defaultPolicy": "allow", "allow": [], "deny": []}
    assert service.public_playback_id(made) == {
        "id": made.id,
        "accessPolicy": "public",
        "accessRestrictions": {"domains": rule, "userAgents": rule},
    }


async def test_a_cap_is_told_only_where_it_is_set(stage: Playing) -> None:
    capped = await create(stage, ids.new_uuid(), resolution="720p")
    assert service.public_playback_id(capped)["resolution"] == "720p"


async def test_ids_are_listed_oldest_first_and_per_target(stage: Playing) -> None:
    first, second, empty = ids.new_uuid(), ids.new_uuid(), ids.new_uuid()
    mine = [await create(stage, first) for _ in range(3)]
    other = await create(stage, second)
    async with stage.db.unit() as tx:
        assert await service.list_ids(tx, first) == mine
        assert await service.list_ids_of(tx, [first, second, empty]) == {first: mine, second: [other], empty: []}


async def test_an_id_is_found_and_deleted_only_through_its_own_target(stage: Playing) -> None:
    target_id = ids.new_uuid()
    made = await create(stage, target_id)
    async with stage.db.unit() as tx:
        assert await service.find_id(tx, ids.new_uuid(), made.id) is None
        assert not await service.delete_id(tx, ids.new_uuid(), made.id)
        assert await service.find_id(tx, target_id, made.id) == made
        assert await service.delete_id(tx, target_id, made.id)
        assert not await service.delete_id(tx, target_id, made.id)
        assert await service.find_id(tx, target_id, made.id) is None
        assert await service.list_ids(tx, target_id) == []


async def test_a_plan_survives_the_database_unchanged(stage: Playing) -> None:
    target_id = ids.new_uuid()
    await publish(stage, target_id)
    async with stage.db.unit() as tx:
        found = await store.find_target(tx, target_id)
    assert found is not None
    assert found.plan == plan()
    assert found.place == "media/x/r"


async def test_publishing_starts_the_fill_once_per_lane(stage: Playing) -> None:
    target_id = ids.new_uuid()
    for _ in range(3):
        await publish(stage, target_id)
    async with stage.db.unit() as tx:
        jobs = await tx.execute(text("select args, priority from procrastinate_jobs where queue_name = 'fill'"))
        rows = [(row.args, row.priority) for row in jobs]
    assert rows == [({"target_id": target_id}, service.FIRST_FILL_PRIORITY)] * service.FILL_LANES


async def test_a_publish_that_is_rolled_back_leaves_nothing(stage: Playing) -> None:
    target_id = ids.new_uuid()
    with pytest.raises(RuntimeError):
        async with stage.db.unit() as tx:
            await service.publish(
                tx, target_id=target_id, workspace_id=target_id, source_key="s", place="p", plan=plan()
            )
            raise RuntimeError("the caller changed its mind")
    async with stage.db.unit() as tx:
        assert await store.find_target(tx, target_id) is None
        assert (await tx.execute(text("select count(*) from procrastinate_jobs"))).scalar_one() == 0


async def test_rates_of_a_replaced_plan_are_not_those_of_the_new_one(stage: Playing) -> None:
    target_id = ids.new_uuid()
    await publish(stage, target_id)
    async with stage.db.unit() as tx:
        await store.save_measured(tx, target_id, "another", {"720p": Measured(2, 1)})
        found = await store.find_target(tx, target_id)
        assert found is not None
        assert found.measured == {}
        await store.save_measured(tx, target_id, plan().revision, {"720p": Measured(2, 1)})
        found = await store.find_target(tx, target_id)
        assert found is not None
        assert found.measured == {"720p": Measured(2, 1)}


async def test_unpublishing_leaves_only_tombstones(stage: Playing) -> None:
    target_id = ids.new_uuid()
    made = await create(stage, target_id)
    await publish(stage, target_id)
    async with stage.db.unit() as tx:
        await service.unpublish(tx, target_id)
        assert await store.find_target(tx, target_id) is None
        buried = await store.find_id(tx, made.id)
    assert buried is not None
    assert buried.is_deleted
