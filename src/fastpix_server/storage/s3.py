"""Objects in an S3 bucket, through obstore.

Invariants: every body is signed with its SHA-256, so the server refuses bytes that changed on the way; `put` also keeps
the hash as metadata and `get` checks it; sizes are checked after every upload. Requests are retried by obstore with
exponential back-off. Errors lose their debug text (URLs, headers) before they leave this module.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from fastpix_server.base import ids
from fastpix_server.storage.keys import check_key, check_prefix
from fastpix_server.storage.port import STREAM_CHUNK_BYTES, ObjectMissing, StorageError, StorageMisconfigured

if TYPE_CHECKING:  # stubs only: these names do not exist at run time
    from obstore.store import ClientConfig, RetryConfig, S3Config

PART_BYTES = 16 * 1024 * 1024  # S3 allows 10,000 parts of an upload: 16 MiB each reach 156 GiB, above our 64 GiB limit
PART_CONCURRENCY = 4  # parts in memory per upload: 64 MiB
DELETE_BATCH = 1000  # keys per DeleteObjects request, S3's own limit
RETRIES = 6  # with back-off from 0.1 s doubling: about 10 s in all, then the caller (a job, a client) decides
_RETRY: "RetryConfig" = {
    "max_retries": RETRIES,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
_HASH = "sha256"  # metadata name (x-amz-meta-sha256)
OPTIONS = ("access_key_id", "endpoint", "region", "secret_access_key", "session_token", "virtual_hosted_style_request")


def make_store(bucket: str, prefix: str, options: Mapping[str, str]) -> S3Store:
    """An obstore client; credentials that `options` lacks come from the usual AWS environment."""
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise StorageMisconfigured(f"Unknown S3 option {unknown[0]!r}; known: {', '.join(OPTIONS)}.")
    config = cast("S3Config", {"region": "us-east-1", "checksum_algorithm": "SHA256", **options})
    client: ClientConfig = {
        "allow_http": str(options.get("endpoint", "")).startswith("http://"),
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=120),  # one part of 16 MiB at 140 kB/s
    }
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=_RETRY)


class S3Objects:
    """An ObjectStore in a bucket, below a prefix."""

    def __init__(self, store: S3Store, label: str) -> None:
        self.store = store
        self.label = label  # s3://bucket/prefix, for messages

    def local_path(self, key: str) -> Path | None:
        check_key(key)
        return None

    async def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """Always durable: that is what the answer of an S3 server means."""
        with _plain(key):
            await self._put(check_key(key), data)

    async def put_new(self, key: str, data: bytes) -> bool:
        """Stores `data` only where nothing is: False when another writer was first. Staging stands on it."""
        with _plain(key):
            try:
                await self._put(check_key(key), data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
            return True

    async def _put(self, key: str, data: bytes, mode: Any = None) -> None:
        digest = hashlib.sha256(data).hexdigest()
        await obstore.put_async(self.store, key, data, attributes={_HASH: digest}, mode=mode, use_multipart=False)

    async def get(self, key: str) -> bytes:
        with _plain(key):
            result = await obstore.get_async(self.store, check_key(key))
            data = bytes(await result.bytes_async())
            expected = result.attributes.get(_HASH)
        if len(data) != result.meta["size"] or (expected and hashlib.sha256(data).hexdigest() != expected):
            raise StorageError(f"object {key} came back damaged from {self.label}")
        return data

    async def get_range(self, key: str, start: int, end_exclusive: int) -> bytes:
        size = await self.size(key)
        if size is None:
            raise ObjectMissing(key)
        end = min(end_exclusive, size)
        if start >= end:
            return b""
        with _plain(key):
            data = bytes(await obstore.get_range_async(self.store, check_key(key), start=start, end=end))
        if len(data) != end - start:
            raise StorageError(f"object {key}: {len(data)} bytes came for a range of {end - start}")
        return data

    async def size(self, key: str) -> int | None:
        try:
            with _plain(key):
                return int((await obstore.head_async(self.store, check_key(key)))["size"])
        except ObjectMissing:
            return None

    async def put_file(self, key: str, path: Path) -> None:
        size = path.stat().st_size
        with _plain(key):
            await obstore.put_async(
                self.store, check_key(key), path, chunk_size=PART_BYTES, max_concurrency=PART_CONCURRENCY
            )
        await self._expect_size(key, size)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes], size: int) -> None:
        """Stores a stream of known size as one object, PART_BYTES at a time; nothing appears when it breaks."""
        with _plain(key):
            await obstore.put_async(
                self.store,
                check_key(key),
                chunks,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PART_CONCURRENCY,
            )
        await self._expect_size(key, size)

    async def _expect_size(self, key: str, size: int) -> None:
        stored = await self.size(key)
        if stored != size:
            await self.delete(key)
            raise StorageError(f"object {key}: {stored} bytes were stored of {size}")

    async def copy(self, key: str, to: str) -> None:
        """The server copies; objects of up to 5 GiB, far above any segment."""
        with _plain(key):
            await obstore.copy_async(self.store, check_key(key), check_key(to))

    async def delete(self, key: str) -> None:
        try:
            with _plain(key):
                await obstore.delete_async(self.store, check_key(key))
        except ObjectMissing:
            return

    async def delete_prefix(self, prefix: str) -> int:
        keys = list(await self.list_sizes(prefix))
        for start in range(0, len(keys), DELETE_BATCH):
            with _plain(prefix):
                await obstore.delete_async(self.store, keys[start : start + DELETE_BATCH])
        return len(keys)

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        with _plain(prefix):
            async for batch in obstore.list(self.store, check_prefix(prefix)):
                found.update((item["path"], int(item["size"])) for item in batch)
        return found

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        size = await self.size(key)
        if size is None:
            raise ObjectMissing(key)
        limit = size if end is None else min(end, size)
        while start < limit:
            stop = min(start + STREAM_CHUNK_BYTES * 8, limit)  # 8 MiB requests: one broken one is cheap to repeat
            with _plain(key):
                data = bytes(await obstore.get_range_async(self.store, key, start=start, end=stop))
            if len(data) != stop - start:
                raise StorageError(f"object {key}: {len(data)} bytes came for a range of {stop - start}")
            for at in range(0, len(data), STREAM_CHUNK_BYTES):
                yield data[at : at + STREAM_CHUNK_BYTES]
            start = stop

    async def self_test(self) -> None:
        key = f"self-test/{ids.new_hex32()}"
        try:
            await asyncio.wait_for(self._exercise(key), timeout=30)
        except TimeoutError:
            raise StorageMisconfigured(_advice(self.label, "it does not answer")) from None
        except StorageMisconfigured:
            raise
        except StorageError as error:
            raise StorageMisconfigured(_advice(self.label, str(error))) from None

    async def _exercise(self, key: str) -> None:
        await self.put(key, b"fastpix")
        if await self.get(key) != b"fastpix":
            raise StorageMisconfigured(_advice(self.label, "it returned other bytes than were written"))
        if await self.put_new(key, b"again"):
            raise StorageMisconfigured(
                _advice(self.label, "it ignores If-None-Match, so two uploads could overwrite each other")
            )
        if key not in await self.list_sizes("self-test"):
            raise StorageMisconfigured(_advice(self.label, "its listing lacks an object just written"))
        await self.delete(key)


def _advice(label: str, cause: str) -> str:
    return (
        f"The object storage {label} cannot be used: {cause}. Check that the bucket exists, FASTPIX_STORAGE_URL, "
        "FASTPIX_S3_ENDPOINT, FASTPIX_S3_REGION and the access key, which needs read, write, list and delete rights."
    )


class _plain:
    """Context that turns obstore's errors into ours, in words and without their debug dump."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise ObjectMissing(self._key) from None
        if isinstance(error, (BaseError, OSError)):
            raise StorageError(_words(error)) from None


def _words(error: BaseException) -> str:
    text = str(error)
    if "NoSuchBucket" in text:
        return "the bucket does not exist"
    if "SignatureDoesNotMatch" in text or "InvalidAccessKeyId" in text:
        return "the access key or its secret is wrong"
    if isinstance(error, (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)):
        return "access was denied"
    if "error sending request" in text:
        return "it cannot be reached"
    if "timed out" in text:
        return "it does not answer in time"
    return text.split("\n", 1)[0][:200]
