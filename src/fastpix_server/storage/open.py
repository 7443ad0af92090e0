"""From a storage URL to its three parts: objects, growing files, local paths.

Invariants: a URL or option that we do not know is refused with a sentence that names the remedy; nothing is written
before the caller asks for the self-test, except our own folders.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fastpix_server.storage.keys import InvalidKey, check_key
from fastpix_server.storage.local import LocalObjects
from fastpix_server.storage.port import ObjectStore, StorageMisconfigured
from fastpix_server.storage.s3 import S3Objects, make_store
from fastpix_server.storage.sources import CACHE_BYTES, SourceFiles
from fastpix_server.storage.staging import Staging
from fastpix_server.storage.staging_local import LocalStaging
from fastpix_server.storage.staging_s3 import S3Staging


@dataclasses.dataclass(frozen=True)
class Storage:
    """Everything that holds bytes."""

    objects: ObjectStore
    staging: Staging
    sources: SourceFiles


def open_store(
    url: str, s3_options: Mapping[str, str], work_dir: Path, *, source_cache_bytes: int = CACHE_BYTES
) -> Storage:
    """`file:///folder` or `s3://bucket/prefix`. Run `objects.self_test()` before the first use.

    `s3_options` are the names of storage.s3.OPTIONS; `work_dir` is local scratch space for copies of remote sources.
    Raises StorageMisconfigured.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _open_local(url, Path(unquote(parts.path)), parts.netloc, work_dir)
    if parts.scheme == "s3":
        return _open_s3(parts.netloc, parts.path.strip("/"), s3_options, work_dir, source_cache_bytes)
    raise StorageMisconfigured(f"FASTPIX_STORAGE_URL {url!r} is neither file:///folder nor s3://bucket/prefix.")


def _open_local(url: str, root: Path, host: str, work_dir: Path) -> Storage:
    if host not in ("", "localhost") or not root.is_absolute():
        raise StorageMisconfigured(f"FASTPIX_STORAGE_URL {url!r}: a local folder is written file:///absolute/path.")
    try:
        objects = LocalObjects(root)
        staging = LocalStaging(root)
    except OSError as error:
        raise StorageMisconfigured(f"The object folder {root} cannot be made: {error.strerror}.") from error
    return Storage(objects, staging, SourceFiles(objects, work_dir / "sources"))


def _open_s3(bucket: str, prefix: str, options: Mapping[str, str], work_dir: Path, cache_bytes: int) -> Storage:
    if not bucket:
        raise StorageMisconfigured("FASTPIX_STORAGE_URL names no bucket; it is written s3://bucket/prefix.")
    try:
        store = make_store(bucket, check_key(prefix) if prefix else "", options)
    except InvalidKey:
        raise StorageMisconfigured(f"The prefix {prefix!r} in FASTPIX_STORAGE_URL has unusual characters.") from None
    objects = S3Objects(store, f"s3://{bucket}/{prefix}".rstrip("/"))
    sources = SourceFiles(objects, work_dir / "sources", max_bytes=cache_bytes)
    return Storage(objects, S3Staging(objects), sources)
