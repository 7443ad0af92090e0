"""Files arrive whole, through every trouble that a connection can have, and are never mixed with other files."""

import hashlib
import io
import random
import stat

import msgspec
import pytest
from tests.unit.client import bucket as troubles
from tests.unit.client.bucket import Bucket, breaks, refuses

from fastpix import errors, types
from fastpix._async import sending as async_sending
from fastpix._sync import sending as sync_sending
from fastpix.upload_file import State, load, save

CHUNK = 256 << 10
CONTENT = random.Random(7).randbytes(3 * CHUNK + 1000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def bucket(both, server) -> Bucket:
    made = Bucket(server.url)
    server.script()
    server.otherwise = made
    return made


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(CONTENT)
    return path


async def test_a_file_is_sent_in_chunks_with_its_settings(both, bucket, server, file):
    seen = []
    settings = types.Settings(access_policy="private", title="A title")
    done = await both.call(
        both.client.uploads.upload, file, settings=settings, chunk_bytes=CHUNK, on_progress=seen.append
    )
    assert bytes(bucket.stored) == CONTENT
    assert (done.media_id, done.size_bytes, done.sha256, done.resumed_from_bytes) == ("u1", len(CONTENT), SHA256, 0)
    pushed = {"accessPolicy": "private", "title": "A title"}
    assert server.asked[0].json == {"corsOrigin": "*", "pushMediaSettings": pushed}
    size = len(CONTENT)
    assert bucket.ranges == [
        f"bytes {at}-{min(at + CHUNK, size) - 1}/{size}" for at in (0, CHUNK, 2 * CHUNK, 3 * CHUNK)
    ]
    assert [step.sent_bytes for step in seen] == sorted(step.sent_bytes for step in seen)
    assert (seen[-1].confirmed_bytes, seen[-1].fraction) == (size, 1)


async def test_a_file_object_and_a_url_without_a_session_will_do(both, bucket):
    bucket.has_session = False
    bucket.troubles = [refuses(503), breaks(stored=0)]
    done = await both.call(both.client.uploads.upload, io.BytesIO(CONTENT))
    assert (bytes(bucket.stored), done.sha256) == (CONTENT, SHA256)


@pytest.mark.parametrize(
    "happens",
    [
        [None, breaks(stored=1000)],
        [breaks(stored=0), breaks(stored=5), None, breaks(stored=CHUNK)],
        [refuses(503), refuses(500), refuses(429, **{"Retry-After": "0"}), refuses(408)],
        [None, troubles.says_nothing_new, troubles.says_nothing_new],
        [None, None, None, breaks(stored=1000)],
    ],
    ids=["part", "again", "statuses", "nothing", "last"],
)
async def test_a_lost_connection_goes_on_where_the_server_is(happens, both, bucket, file):
    bucket.troubles = happens
    done = await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK)
    assert (bytes(bucket.stored), done.sha256, bucket.created) == (CONTENT, SHA256, 1)


async def test_a_server_that_stays_away_interrupts_and_the_next_call_goes_on(both, bucket, file, tmp_path):
    state_file = tmp_path / "state"
    bucket.troubles = [None, None, *[refuses(503)] * 30]
    with pytest.raises(errors.UploadInterrupted, match="stopped at 524288 of 787432") as caught:
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    assert caught.value.confirmed_bytes == 2 * CHUNK
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    bucket.troubles = []
    bucket.ranges.clear()
    done = await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    assert (bytes(bucket.stored), done.sha256, done.media_id) == (CONTENT, SHA256, "u1")
    assert done.resumed_from_bytes == 2 * CHUNK
    assert bucket.ranges[0] == f"bytes */{len(CONTENT)}"
    assert bucket.ranges[1].startswith(f"bytes {2 * CHUNK}-")
    assert (bucket.created, state_file.exists()) == (1, False)


async def test_a_server_that_takes_no_bytes_is_given_up(both, bucket, file):
    bucket.troubles = [troubles.says_nothing_new] * 100
    with pytest.raises(errors.UploadInterrupted, match="takes no bytes"):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK)
    assert len(bucket.troubles) > 80


async def test_another_file_of_the_same_size_is_found_out(both, bucket, file, tmp_path):
    state_file = tmp_path / "state"
    bucket.troubles = [None, None, *[refuses(503)] * 30]
    with pytest.raises(errors.UploadInterrupted):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    bucket.troubles = []
    stored = bytes(bucket.stored)
    file.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(errors.FileChanged, match="first 524288 bytes"):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    file.write_bytes(CONTENT + b"x")
    with pytest.raises(errors.FileChanged, match="began with"):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    assert (bytes(bucket.stored), state_file.exists()) == (stored, True)


async def test_a_session_that_is_gone_begins_anew_when_resumed_and_ends_when_running(both, bucket, file, tmp_path):
    state_file = tmp_path / "state"
    bucket.troubles = [None, troubles.goes_away]
    with pytest.raises(errors.Gone):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    assert not state_file.exists()
    bucket.is_gone = True
    sha256 = hashlib.sha256(CONTENT[:CHUNK]).hexdigest()
    url = f"{bucket.url}/session?upload_id=x"
    base_url = both.client.base_url
    known = State(
        base_url=base_url, upload_id="u0", url=url, size_bytes=len(CONTENT), confirmed_bytes=CHUNK, sha256=sha256
    )
    save(state_file, known)
    done = await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK, state_file=state_file)
    assert (done.media_id, done.resumed_from_bytes, bytes(bucket.stored)) == ("u2", 0, CONTENT)


async def test_a_refusal_is_not_tried_again(both, bucket, server, file):
    bucket.troubles = [refuses(403)] * 3
    with pytest.raises(errors.Forbidden):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK)
    assert len(bucket.troubles) == 2


async def test_a_server_that_claims_too_much_is_not_believed(both, bucket, file):
    over = {"Range": f"bytes=0-{len(CONTENT)}"}
    bucket.troubles = [lambda bucket, asked: troubles.Answer(308, b"", over)]
    with pytest.raises(errors.UploadFailed, match="says to have"):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK)


async def test_what_cannot_be_sent_is_refused_before_anything_is_asked(both, bucket, server, tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for bad in (io.BytesIO(b""), Pipe(CONTENT)):
        with pytest.raises(errors.UploadFailed):
            await both.call(both.client.uploads.upload, bad)
    with pytest.raises(FileNotFoundError):
        await both.call(both.client.uploads.upload, tmp_path / "nothing")
    with pytest.raises(ValueError, match="multiple"):
        await both.call(both.client.uploads.upload, io.BytesIO(b"x"), chunk_bytes=1000)
    assert server.asked == []


async def test_a_file_that_shrinks_while_it_is_sent_stops_the_upload(both, bucket, file):
    def shrink(bucket, asked):
        file.write_bytes(CONTENT[: CHUNK + 10])

    bucket.troubles = [shrink]
    with pytest.raises(errors.FileChanged, match="ends at"):
        await both.call(both.client.uploads.upload, file, chunk_bytes=CHUNK)


def test_a_state_of_something_else_is_refused_and_kept(tmp_path):
    path = tmp_path / "state"
    assert load(path, base_url="b", size_bytes=1) is None
    path.write_bytes(b"my diary")
    with pytest.raises(errors.UploadFailed, match="remove it"):
        load(path, base_url="b", size_bytes=1)
    assert path.read_bytes() == b"my diary"
    save(path, State(base_url="https://one.example/v1", upload_id="u", url="u", size_bytes=5))
    with pytest.raises(errors.UploadFailed, match=r"one\.example"):
        load(path, base_url="https://two.example/v1", size_bytes=5)
    known = load(path, base_url="https://one.example/v1", size_bytes=5)
    assert known is not None
    save(path, msgspec.structs.replace(known, confirmed_bytes=9))
    with pytest.raises(errors.FileChanged):
        load(path, base_url="https://one.example/v1", size_bytes=5)
    assert sorted(tmp_path.iterdir()) == [path]


def test_both_clients_give_up_after_the_same_number_of_failures():
    assert async_sending.STALLS_MAX == sync_sending.STALLS_MAX == 8
