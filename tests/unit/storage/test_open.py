"""A storage URL is opened, or refused with the remedy."""

from pathlib import Path

import pytest
from tests.unit.storage import seaweed

from fastpix_server.storage import s3
from fastpix_server.storage.local import LocalObjects
from fastpix_server.storage.open import open_store
from fastpix_server.storage.port import StorageMisconfigured


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/just/a/path", "neither file:///folder nor s3://"),
        ("ftp://host/x", "neither file:///folder nor s3://"),
        ("file://relative/path", "file:///absolute/path"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket/a b", "unusual characters"),
        ("s3://bucket/../up", "unusual characters"),
        ("file:///dev/null/objects", "cannot be made"),
    ],
)
def test_a_strange_url_is_refused_with_the_remedy(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(StorageMisconfigured, match=words):
        open_store(url, {}, tmp_path)


def test_a_file_url_opens_a_folder_also_with_a_blank_in_it(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/my%20objects", {}, tmp_path / "work")
    assert isinstance(store.objects, LocalObjects)
    assert (tmp_path / "my objects").is_dir()


def test_an_unknown_s3_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageMisconfigured, match="'acces_key'; known: access_key_id"):
        open_store("s3://bucket/x", {"acces_key": "k"}, tmp_path)


async def test_a_wrong_secret_is_named_by_the_self_test(tmp_path: Path, s3_endpoint: str) -> None:
    wrong = seaweed.options(s3_endpoint) | {"secret_access_key": "not-it"}
    store = open_store(f"s3://{seaweed.BUCKET}/x", wrong, tmp_path)
    with pytest.raises(StorageMisconfigured, match="access key or its secret is wrong") as fault:
        await store.objects.self_test()
    assert "not-it" not in str(fault.value)


async def test_a_missing_bucket_is_named_by_the_self_test(tmp_path: Path, s3_endpoint: str) -> None:
    plain_user = seaweed.options(s3_endpoint) | {
        "access_key_id": seaweed.PLAIN_ACCESS_KEY,
        "secret_access_key": seaweed.PLAIN_SECRET_KEY,
    }
    store = open_store("s3://no-such-bucket/x", plain_user, tmp_path)
    with pytest.raises(StorageMisconfigured, match=r"bucket does not exist|access was denied"):
        await store.objects.self_test()


async def test_an_unreachable_server_is_named_by_the_self_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(s3._RETRY, "max_retries", 1)
    store = open_store("s3://b/x", seaweed.options("http://127.0.0.1:1"), tmp_path)
    with pytest.raises(StorageMisconfigured, match="cannot be reached"):
        await store.objects.self_test()
