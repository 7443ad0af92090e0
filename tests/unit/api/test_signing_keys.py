"""Signing keys as the contract words them."""

import base64
import re

import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import text

from fastpix_server.access import service as access
from fastpix_server.base import ids
from fastpix_server.keys import service

PATH = "/iam/signing-keys"


async def create(api, **headers):
    answer = await api.http.post(PATH, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def test_a_new_key_is_answered_once_as_base64_of_its_whole_pem(api):
    made = await create(api)
    assert list(made) == ["id", "privateKey", "createdAt"]
    assert ids.is_uuid(made["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["createdAt"])
    pem = base64.b64decode(made["privateKey"], validate=True)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert pem.endswith(b"\n-----END PRIVATE KEY-----\n")
    private = serialization.load_pem_private_key(pem, None)
    found = (await api.http.get(f"{PATH}/{made['id']}")).json()
    assert found == {
        "success": True,
        "data": {
            "workspaceId": api.workspace_id,
            "signingKeyId": made["id"],
            "publicKey": private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode(),
        },
    }


async def test_keys_are_listed_newest_first_with_pages_of_the_contract(api):
    made = [await create(api) for _ in range(3)]
    body = (await api.http.get(PATH, params={"limit": 2})).json()
    assert body["data"] == [{"id": m["id"], "createdAt": m["createdAt"]} for m in (made[2], made[1])]
    assert body["pagination"] == {"totalRecords": 3, "currentOffset": 1, "offsetCount": 2}
    assert (await api.http.get(PATH, params={"limit": 2, "offset": 3})).json()["data"] == []


async def test_a_deleted_key_is_gone_and_says_so_in_the_words_of_the_service(api):
    made = await create(api)
    answer = await api.http.delete(f"{PATH}/{made['id']}")
    assert answer.json() == {"success": True, "data": {"message": "signing key deleted successfully"}}
    for again in (await api.http.delete(f"{PATH}/{made['id']}"), await api.http.get(f"{PATH}/{made['id']}")):
        assert (again.status_code, again.json()) == (
            404,
            {"success": False, "error": {"code": 404, "message": "Signing key Not Found"}},
        )


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_malformed_key_id_is_named(api, method):
    answer = await api.http.request(method, f"{PATH}/nope")
    assert (answer.status_code, answer.json()["error"]["fields"]) == (
        422,
        [{"field": "signingKeyId", "message": "is invalid"}],
    )


async def test_a_key_of_another_workspace_can_neither_be_seen_nor_deleted(api):
    made = await create(api)
    async with api.db.unit() as tx:
        other = await access.create_workspace(tx, name="Other")
        token = await access.create_token(tx, pepper=api.context.pepper, workspace_id=other.id, name="t")
    async with api.other(token.id, token.secret) as http:
        assert (await http.get(f"{PATH}/{made['id']}")).status_code == 404
        assert (await http.delete(f"{PATH}/{made['id']}")).status_code == 404
        assert (await http.get(PATH)).json()["data"] == []
    assert (await api.http.get(f"{PATH}/{made['id']}")).status_code == 200


async def test_keys_need_the_permission_of_the_system_area(api):
    async with api.db.unit() as tx:
        token = await access.create_token(
            tx,
            pepper=api.context.pepper,
            workspace_id=api.workspace_id,
            name="t",
            permissions=["video:write", "system:read"],
        )
    async with api.other(token.id, token.secret) as http:
        refused = await http.post(PATH)
        assert (refused.status_code, "permission" in refused.json()["error"]["description"]) == (403, True)
        assert (await http.get(PATH)).status_code == 200


async def test_a_full_workspace_is_told_its_limit(api, monkeypatch):
    monkeypatch.setattr(service, "KEYS_MAX", 1)
    first = await create(api)
    refused = await api.http.post(PATH)
    assert refused.status_code == 400
    assert refused.json()["error"]["description"].startswith("A workspace has at most 1 signing keys")
    await api.http.delete(f"{PATH}/{first['id']}")
    await create(api)


async def test_a_repeated_idempotency_key_gets_the_first_key_again_and_the_table_cannot_tell_it(api):
    first = await create(api, **{"Idempotency-Key": "k1"})
    again = await api.http.post(PATH, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["data"]) == (201, first)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await create(api, **{"Idempotency-Key": "k2"}))["id"] != first["id"]
    async with api.db.unit() as tx:
        [body] = (await tx.execute(text("select body from idempotent_answers where key = 'k1'"))).scalars()
    assert first["id"].encode() not in bytes(body)
    assert first["privateKey"].encode()[:40] not in bytes(body)


async def test_a_kept_answer_that_was_moved_to_another_workspace_is_not_opened(api):
    first = await create(api, **{"Idempotency-Key": "k1"})
    async with api.db.unit() as tx:
        await tx.execute(text("update idempotent_answers set key = 'k2'"))
    assert (await create(api, **{"Idempotency-Key": "k2"}))["id"] != first["id"]


async def test_nothing_private_is_logged(api, capsys):
    made = await create(api)
    await api.http.delete(f"{PATH}/{made['id']}")
    out, err = capsys.readouterr()
    assert "PRIVATE" not in out + err
    assert made["privateKey"][:40] not in out + err
