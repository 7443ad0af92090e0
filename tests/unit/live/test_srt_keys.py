"""The table that the SRT listener asks while it shakes hands."""

import asyncio
import contextlib
import time

import pytest

from fastpix_server.db.notify import Listener
from fastpix_server.ingest.model import Refused, SrtKey
from fastpix_server.live import service, srt_keys
from fastpix_server.live.srt_keys import SrtKeyTable

WAIT_S = 20


@contextlib.asynccontextmanager
async def table(live, url):
    listener = Listener(url)
    made = SrtKeyTable(live.db, listener)
    await listener.start()
    await made.load()
    yield made
    await made.close()
    await listener.close()


async def until(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_known_streams_are_found_by_their_key_and_by_their_id_for_players(live, database_url, monkeypatch):
    monkeypatch.setattr(srt_keys, "_SLICE", 2)  # several slices
    streams = [await live.stream() for _ in range(5)]
    async with table(live, database_url) as keys:
        for stream in streams:
            assert keys.find(stream.stream_key) == SrtKey("publish", stream.stream_key, stream.srt_secret)
            assert keys.find(f"play{stream.id}") == SrtKey("play", stream.id, stream.srt_playback_secret)
        for name in ("", "x", "play", stream.id, stream.srt_secret, f"play{stream.stream_key}", "é" * 70):
            assert keys.find(name) == Refused("unknown_key")


async def test_the_table_follows_new_disabled_and_deleted_streams(live, database_url):
    async with table(live, database_url) as keys:
        stream = await live.stream()
        await until(lambda: isinstance(keys.find(stream.stream_key), SrtKey))
        async with live.db.unit() as tx:
            await service.disable(tx, live.workspace_id, stream.id)
        await until(lambda: keys.find(stream.stream_key) == Refused("disabled"))
        assert keys.find(f"play{stream.id}") == Refused("disabled")
        async with live.db.unit() as tx:
            await service.enable(tx, live.workspace_id, stream.id)
        await until(lambda: isinstance(keys.find(stream.stream_key), SrtKey))
        async with live.db.unit() as tx:
            await service.delete(tx, live.workspace_id, stream.id)
        await until(lambda: keys.find(stream.stream_key) == Refused("unknown_key"))


async def test_a_table_that_missed_news_reads_everything_again(live, database_url):
    async with table(live, database_url) as keys:
        keys._entries.clear()
        stream = await live.stream()
        keys._on_reconnect()
        await until(lambda: isinstance(keys.find(stream.stream_key), SrtKey))


async def test_a_full_table_takes_no_more(live, database_url, monkeypatch):
    monkeypatch.setattr(srt_keys, "STREAMS_MAX", 2)
    streams = [await live.stream() for _ in range(4)]
    async with table(live, database_url) as keys:
        assert len(keys._entries) >= 2
        known = [s for s in streams if isinstance(keys.find(s.stream_key), SrtKey)]
        late = await live.stream()
        await asyncio.sleep(0.2)
        assert keys.find(late.stream_key) == Refused("unknown_key")
        async with live.db.unit() as tx:
            await service.disable(tx, live.workspace_id, known[0].id)
        await until(lambda: keys.find(known[0].stream_key) == Refused("disabled"))


@pytest.mark.parametrize("secret", ["srt_secret", "stream_key", "srt_playback_secret"])
async def test_no_secret_shows_in_a_repr(live, database_url, secret):
    stream = await live.stream()
    async with table(live, database_url) as keys:
        assert getattr(stream, secret) not in repr(keys._entries) + repr(stream)
