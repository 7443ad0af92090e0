"""direct-upload-video-media, list-uploads and cancel-upload: exact bodies and refusals (contract 2.1)."""

import httpx
import pytest
from tests.unit.uploads.conftest import Uploading, put

RULES = {"defaultPolicy": "allow", "allow": [], "deny": []}


def test_the_answer_has_exactly_the_contracts_keys(uploading: Uploading) -> None:
    made = uploading.create(corsOrigin="https://a.example", pushMediaSettings={"metadata": {"k": "v"}, "title": "T"})
    url, upload_id = made.pop("url"), made.pop("uploadId")
    assert made == {
        "trial": False,
        "status": "waiting",
        "timeout": 14400,
        "corsOrigin": "https://a.example",
        "pushMediaSettings": {
            "playbackIds": [{"accessPolicy": "public", "accessRestrictions": {"domains": RULES, "userAgents": RULES}}],
            "metadata": {"k": "v"},
            "mediaQuality": "standard",
            "sourceAccess": False,
            "optimizeAudio": False,
        },
    }
    assert url.startswith(f"{uploading.base}/upload/{upload_id}?")
    assert uploading.events(upload_id) == ["video.media.upload"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"corsOrigin": 7}, ["corsOrigin"]),
        ({"corsOrigin": ""}, ["corsOrigin"]),
        ({"corsOrigin": "https://a\r\nX: y"}, ["corsOrigin"]),
        ({"corsOrigin": "https://a, https://b"}, ["corsOrigin"]),
        (
            {"corsOrigin": "*", "pushMediaSettings": {"maxResolution": "8k", "accessPolicy": "secret"}},
            ["pushMediaSettings.accessPolicy", "pushMediaSettings.maxResolution"],
        ),
        ({"corsOrigin": "*", "pushMediaSettings": {"metadata": {"a": 1}}}, ["pushMediaSettings.metadata.a"]),
        ({"corsOrigin": "*", "pushMediaSettings": []}, ["pushMediaSettings"]),
    ],
)
def test_every_bad_field_is_named(uploading: Uploading, body: object, fields: list[str]) -> None:
    answer = uploading.api("POST", "/upload", json=body)
    assert answer.status_code == 422, answer.text
    assert sorted(entry["field"] for entry in answer.json()["error"]["fields"]) == fields


def test_drm_without_a_configuration_is_refused_before_the_bytes(uploading: Uploading) -> None:
    settings = {"accessPolicy": "drm", "drmConfigurationId": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}
    answer = uploading.api("POST", "/upload", json={"corsOrigin": "*", "pushMediaSettings": settings})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "DRM ID does not exist"


def test_waiting_uploads_are_listed_newest_first_in_pages(uploading: Uploading) -> None:
    made = [uploading.create()["uploadId"] for _ in range(3)]
    answer = uploading.api("GET", "/uploads", params={"limit": 2}).json()
    assert [entry["uploadId"] for entry in answer["data"]] == made[:0:-1]
    assert answer["pagination"]["currentOffset"] == 1
    oldest = uploading.api("GET", "/uploads", params={"limit": 50, "orderBy": "asc"}).json()["data"]
    assert [entry["uploadId"] for entry in oldest][-3:] == made
    assert uploading.api("GET", "/uploads", params={"limit": 51}).status_code == 422


def test_a_cancelled_upload_answers_flat_and_its_url_is_gone(uploading: Uploading) -> None:
    settings = {"accessPolicy": "public", "title": "T", "creatorId": "C"}
    made = uploading.create(pushMediaSettings=settings)
    upload_id = made["uploadId"]
    put(made["url"], b"12345", 0, 10)
    answer = uploading.api("PUT", f"/upload/{upload_id}/cancel")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "data": {
            "uploadId": upload_id,
            "trial": False,
            "status": "cancelled",
            "url": made["url"],
            "corsOrigin": "*",
            "maxResolution": "1080p",
            "accessPolicy": "public",
            "metadata": {},
            "title": "T",
            "creatorId": "C",
        },
    }
    for reply in (
        put(made["url"], b"67890", 5, 10),
        httpx.put(made["url"], headers={"Content-Range": "bytes */10"}),
        httpx.post(made["url"], headers={"x-goog-resumable": "start"}),
    ):
        assert (reply.status_code, reply.json()["error"]["code"]) == (410, 410)
    assert uploading.events(upload_id) == ["video.media.upload", "video.media.upload.cancelled"]
    dropped = uploading.rows(
        "select count(*) from procrastinate_jobs where task_name = 'media.drop_upload' and args ->> 'upload_id' = %s",
        upload_id,
    )
    assert dropped == [(1,)]
    assert uploading.api("PUT", f"/upload/{upload_id}/cancel").status_code == 400


def test_a_completed_upload_cannot_be_cancelled(uploading: Uploading) -> None:
    made = uploading.create()
    assert httpx.put(made["url"], content=b"bytes").status_code == 200
    answer = uploading.api("PUT", f"/upload/{made['uploadId']}/cancel")
    assert answer.status_code == 400
    assert "completed" in answer.json()["error"]["description"]


@pytest.mark.parametrize(("upload_id", "status"), [("beff5537-de85-42e1-a673-2a405cd94177", 404), ("not-a-uuid", 422)])
def test_an_unknown_upload_cannot_be_cancelled(uploading: Uploading, upload_id: str, status: int) -> None:
    assert uploading.api("PUT", f"/upload/{upload_id}/cancel").status_code == status
