"""A URL becomes a stored source, or a Failed media whose reason a person understands."""

import asyncio
import dataclasses
import itertools
import os

import pytest
from sqlalchemy import text
from tests.unit.fetch.conftest import QUICK, Fetching, Origin, Seen, Talk, answer, ranged

from fastpix_server.base.guard import AddressPolicy
from fastpix_server.media import service
from fastpix_server.media.fetch import MediaFetch

FILE = b"\0\0\0\x20ftypisom" + os.urandom(3_000_000)


async def test_a_file_is_stored_whole_and_prepared_next(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [ranged(FILE)]
    media = await fetching.fetch(origin.url("/clip.mp4?token=s3cret#part"))
    assert media.status == "Downloaded"
    assert media.size_bytes == len(FILE)
    assert await fetching.source(media) == FILE
    assert await fetching.prepare_jobs(media.id) == 1
    assert await fetching.leftovers(media.id) == 0
    assert origin.seen[0].target == "/clip.mp4?token=s3cret"
    assert origin.seen[0].headers["accept-encoding"] == "identity"


async def test_a_broken_connection_is_continued_with_range_and_if_range(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [ranged(FILE, stop_after=1_200_000), ranged(FILE, stop_after=1_100_000), ranged(FILE)]
    media = await fetching.fetch(origin.url())
    assert media.status == "Downloaded"
    assert await fetching.source(media) == FILE
    first, second, third = (seen.headers.get("range", "bytes=0-") for seen in origin.seen)
    begins = [int(text.removeprefix("bytes=").rstrip("-")) for text in (first, second, third)]
    assert begins[0] == 0
    assert all(1_000_000 < later - earlier <= 1_200_000 for earlier, later in itertools.pairwise(begins))
    assert [seen.headers.get("if-range") for seen in origin.seen] == [None, '"v1"', '"v1"']


async def test_a_file_that_changed_meanwhile_is_begun_anew(fetching: Fetching, origin: Origin) -> None:
    other = b"\0\0\0\x20ftypisom" + os.urandom(2_000_000)
    origin.talks = [ranged(FILE, stop_after=1_200_000), ranged(other, etag='"v2"')]
    media = await fetching.fetch(origin.url())
    assert await fetching.source(media) == other


async def test_a_server_without_range_is_begun_anew(fetching: Fetching, origin: Origin) -> None:
    cut = answer("200 OK", FILE[:1_200_000], Content_Length=str(len(FILE)), ETag='"v1"')
    origin.talks = [cut, answer("200 OK", FILE)]
    media = await fetching.fetch(origin.url())
    assert await fetching.source(media) == FILE


async def test_without_a_validator_nothing_is_continued(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [ranged(FILE, etag=None, stop_after=1_200_000), ranged(FILE, etag=None)]
    media = await fetching.fetch(origin.url())
    assert await fetching.source(media) == FILE
    assert [seen.headers.get("range") for seen in origin.seen] == [None, None]


async def test_a_chunked_body_that_breaks_off_is_not_taken_for_whole(fetching: Fetching, origin: Origin) -> None:
    async def chunked(writer: asyncio.StreamWriter, *, is_whole: bool) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(FILE), 100_000):
            piece = FILE[at : at + 100_000]
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if not is_whole and at > 1_000_000:
                return
        writer.write(b"0\r\n\r\n")

    origin.talks = [lambda _, w: chunked(w, is_whole=False), lambda _, w: chunked(w, is_whole=True)]
    media = await fetching.fetch(origin.url())
    assert await fetching.source(media) == FILE
    assert len(origin.seen) == 2


async def test_a_server_that_closes_instead_of_counting_is_read_to_its_end(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [answer("200 OK", FILE, Content_Length="")]
    assert await fetching.source(await fetching.fetch(origin.url())) == FILE


async def test_passing_errors_are_tried_again_as_late_as_the_server_asks(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [answer("503 Busy"), answer("429 Slow down", Retry_After="3600"), ranged(FILE)]
    begun_s = asyncio.get_running_loop().time()
    media = await fetching.fetch(origin.url())
    took_s = asyncio.get_running_loop().time() - begun_s
    assert media.status == "Downloaded"
    assert 0.2 <= took_s < 60  # Retry-After, an hour, is honoured up to wait_max_s


async def test_redirects_are_followed_up_to_five(fetching: Fetching, origin: Origin) -> None:
    async def hop(seen: Seen, writer: asyncio.StreamWriter) -> None:
        step = int(seen.target.rpartition("/")[2])
        talk = ranged(FILE) if step == 0 else answer("302 Found", Location=f"/hop/{step - 1}")
        await talk(seen, writer)

    origin.talks = [hop]
    assert (await fetching.fetch(origin.url("/hop/5"))).status == "Downloaded"
    media = await fetching.fetch(origin.url("/hop/6"))
    assert (media.status, media.failure_code) == ("Failed", "source_bad_redirect")


HTML = b"<!DOCTYPE html>\n<html><title>Sign in</title>" + b" " * 5000
PLAYLIST = b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n"
CONCAT = b"ffconcat version 1.0\nfile 'http://10.0.0.1/secret'\n"


@pytest.mark.parametrize(
    ("talk", "code", "words"),
    [
        (answer("404 Not Found"), "source_not_found", "no file at this URL"),
        (answer("410 Gone"), "source_not_found", "no file at this URL"),
        (answer("401 Unauthorized"), "source_forbidden", "refused access"),
        (answer("403 Forbidden"), "source_forbidden", "refused access"),
        (answer("418 Teapot"), "source_http_error", "HTTP 418"),
        (answer("204 No Content", Content_Length=""), "source_http_error", "HTTP 204"),
        (answer("206 Partial", FILE[:99], Content_Range="bytes 0-98/99"), "source_http_error", "HTTP 206"),
        (answer("500 Oops"), "source_http_error", "HTTP 500"),
        (answer("200 OK", HTML, Content_Type="text/html"), "source_is_web_page", "web page"),
        (answer("200 OK", HTML, Content_Type="video/mp4"), "source_is_web_page", "web page"),
        (answer("200 OK", PLAYLIST, Content_Type="video/mp4"), "source_is_playlist", "playlist"),
        (answer("200 OK", CONCAT), "source_is_playlist", "playlist"),
        (answer("200 OK", b'{"error": "no such video"}'), "source_is_text", "text file"),
        (answer("200 OK", "Grüße aus Köln\n".encode()), "source_is_text", "text file"),
        (answer("200 OK", b""), "source_empty", "empty file"),
        (answer("200 OK", FILE, Content_Encoding="gzip"), "source_encoded", "compressed"),
        (answer("302 Found", Location="ftp://127.0.0.1/x"), "source_bad_redirect", "no http or https"),
        (answer("302 Found", Location="file:///etc/passwd"), "source_bad_redirect", "no http or https"),
        (answer("302 Found", Location="http://[bad"), "source_bad_redirect", "no http or https"),
        (answer("302 Found"), "source_bad_redirect", "no http or https"),
        (ranged(FILE, stop_after=0), "source_truncated", "before the end"),
        (answer("200 OK", FILE[:5000], Content_Length="20000001"), "source_too_large", "0.02 GB"),
    ],
)
async def test_a_source_at_fault_fails_with_its_reason(
    fetching: Fetching, origin: Origin, talk: Talk, code: str, words: str
) -> None:
    origin.talks = [talk]
    media = await fetching.fetch(origin.url("/clip?signature=s3cret"))
    assert (media.status, media.failure_code) == ("Failed", code)
    assert media.failure_description is not None
    assert words in media.failure_description
    assert "s3cret" not in media.failure_description
    assert await fetching.leftovers(media.id) == 0
    assert await fetching.prepare_jobs(media.id) == 0


async def test_nonsense_instead_of_http_fails(fetching: Fetching, origin: Origin) -> None:
    async def nonsense(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp ready\r\n")

    origin.talks = [nonsense]
    assert (await fetching.fetch(origin.url())).status == "Failed"


async def test_a_closed_port_fails_after_its_tries(fetching: Fetching) -> None:
    media = await fetching.fetch("http://127.0.0.1:1/clip.mp4")
    assert (media.status, media.failure_code) == ("Failed", "source_unreachable")


async def test_an_unknown_host_fails_with_its_reason(fetching: Fetching) -> None:
    media = await fetching.fetch("http://no-such-host.invalid/clip.mp4")
    assert (media.status, media.failure_code) == ("Failed", "source_unreachable")
    assert "host name" in str(media.failure_description)


async def test_a_private_address_is_refused_at_once(fetching: Fetching, origin: Origin) -> None:
    fetching.policy = AddressPolicy()
    media = await fetching.fetch(origin.url())
    assert (media.status, media.failure_code) == ("Failed", "source_private")
    assert origin.seen == []


async def test_a_redirect_to_a_private_address_is_refused(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [answer("302 Found", Location=f"http://[::1]:{origin.port}/secret")]
    media = await fetching.fetch(origin.url())
    assert (media.status, media.failure_code) == ("Failed", "source_private")


async def test_an_endless_stream_stops_at_the_limit(fetching: Fetching, origin: Origin) -> None:
    async def endless(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n\0")
        while True:
            writer.write(b"\0" * 100_000)
            await writer.drain()

    origin.talks = [endless]
    media = await fetching.fetch(origin.url())
    assert (media.status, media.failure_code) == ("Failed", "source_too_large")
    assert await fetching.leftovers(media.id) == 0


async def test_a_file_of_exactly_the_limit_is_taken(fetching: Fetching, origin: Origin) -> None:
    fetching.limits = dataclasses.replace(QUICK, max_size_bytes=len(FILE))
    origin.talks = [answer("200 OK", FILE, Content_Length="")]
    assert (await fetching.fetch(origin.url())).status == "Downloaded"


async def test_silence_is_cut_and_tried_again(fetching: Fetching, origin: Origin) -> None:
    async def silent(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    origin.talks = [silent, ranged(FILE)]
    assert (await fetching.fetch(origin.url())).status == "Downloaded"


async def test_a_slow_drip_is_cut(fetching: Fetching, origin: Origin) -> None:
    async def drip(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n\0")
        for _ in range(1000):
            writer.write(b"\0")
            await writer.drain()
            await asyncio.sleep(0.1)

    origin.talks = [drip]
    fetching.limits = dataclasses.replace(QUICK, tries=2)
    media = await fetching.fetch(origin.url())
    assert (media.status, media.failure_code) == ("Failed", "source_too_slow")


async def test_the_whole_download_has_a_deadline(fetching: Fetching, origin: Origin) -> None:
    async def slow(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n\0")
        while True:
            writer.write(b"\0" * 500)
            await writer.drain()
            await asyncio.sleep(0.05)

    origin.talks = [slow]
    fetching.limits = dataclasses.replace(QUICK, total_s=1.5)
    media = await fetching.fetch(origin.url())
    assert (media.status, media.failure_code) == ("Failed", "source_timeout")


async def test_running_again_after_a_crash_before_the_commit_only_commits(fetching: Fetching, origin: Origin) -> None:
    media_id = await fetching.create(origin.url())
    async with fetching.db.unit() as tx:
        await service.begin_download(tx, media_id)
    await fetching.storage.objects.put(service.source_key(media_id), FILE)
    media = await fetching.run(media_id)
    assert (media.status, media.size_bytes) == ("Downloaded", len(FILE))
    assert origin.seen == []


async def test_running_again_after_success_changes_nothing(fetching: Fetching, origin: Origin) -> None:
    origin.talks = [ranged(FILE)]
    media = await fetching.fetch(origin.url())
    again = await fetching.run(media.id)
    assert again.status == "Downloaded"
    assert await fetching.prepare_jobs(media.id) == 1
    assert len(origin.seen) == 1


async def test_two_workers_with_the_same_job_store_the_file_once(fetching: Fetching, origin: Origin) -> None:
    async def leisurely(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(FILE)}\r\n\r\n".encode())
        for at in range(0, len(FILE), 300_000):
            writer.write(FILE[at : at + 300_000])
            await writer.drain()
            await asyncio.sleep(0.05)

    origin.talks = [leisurely]
    media_id = await fetching.create(origin.url())
    await asyncio.gather(fetching.run(media_id), fetching.run(media_id))
    media = await fetching.media(media_id)
    assert media.status == "Downloaded"
    assert await fetching.source(media) == FILE
    assert await fetching.prepare_jobs(media_id) == 1


async def test_a_media_deleted_meanwhile_leaves_no_bytes(
    fetching: Fetching, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastpix_server.media.fetch.WANTED_S", 0.0)
    deleted = asyncio.Event()

    async def long(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + FILE[:1_000_000])
        await writer.drain()
        async with fetching.db.unit() as tx:
            await tx.execute(text("delete from media"))
        deleted.set()
        for _ in range(100):
            writer.write(FILE[:10_000])
            await writer.drain()
            await asyncio.sleep(0.05)

    origin.talks = [long]
    media_id = await fetching.create(origin.url())
    with pytest.raises(AssertionError):  # the media is gone: nothing to read
        await fetching.run(media_id)
    assert deleted.is_set()
    assert await fetching.leftovers(media_id) == 0
    assert await fetching.storage.objects.size(service.source_key(media_id)) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:0/x", "http:///x", "https://"])
async def test_a_url_that_cannot_be_dialled_fails(fetching: Fetching, url: str) -> None:
    media_id = await fetching.create("http://127.0.0.1/x")
    async with fetching.db.unit() as tx:  # stored by an older release that checked less
        await tx.execute(text("update media set source_url = :url"), {"url": url})
    media = await fetching.run(media_id)
    assert (media.status, media.failure_code) == ("Failed", "source_bad_url")


async def test_the_reason_after_the_last_try_of_the_job_is_ours(fetching: Fetching) -> None:
    media_id = await fetching.create("http://127.0.0.1/x")
    await MediaFetch(fetching.db, fetching.storage, fetching.policy).give_up(media_id, error="disk full")
    media = await fetching.media(media_id)
    assert (media.status, media.failure_code) == ("Failed", "source_not_stored")
    assert "disk full" not in str(media.failure_description)
