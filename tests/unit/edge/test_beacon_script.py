"""/beacon.js, and what the player page is told about its video."""

import json
from pathlib import Path

from tests import footage
from tests.planned import planned
from tests.playing import playing

from fastpix_server.access import service as access
from fastpix_server.base import ids


async def test_the_script_is_one_function_that_any_page_may_load(database_url: str, tmp_path: Path) -> None:
    async with playing(database_url, tmp_path) as stage:
        edge = await stage.edge()
        answer = await edge.get("/beacon.js")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.text.rstrip().endswith("})();")
        again = await edge.get("/beacon.js", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


async def test_who_may_watch_learns_what_to_report_with_and_nobody_else(database_url: str, tmp_path: Path) -> None:
    async with playing(database_url, tmp_path) as stage:
        workspace_id = ids.new_uuid()
        async with stage.db.unit() as tx:
            workspace = await access.create_workspace(tx, name="films", id=workspace_id)
        source = footage.make("plain")
        plan = await planned(source)
        public = await stage.publish(source, plan, workspace_id=workspace_id)
        private = await stage.publish(source, plan, workspace_id=workspace_id, access_policy="private")
        elsewhere = await stage.publish(source, plan)
        edge = await stage.edge()

        answer = await edge.get(f"/play/{public.playback_id}/about")
        assert json.loads(answer.content) == {"playbackId": public.playback_id, "workspaceKey": workspace.key}
        assert answer.headers["cache-control"] == "public, max-age=60"
        assert (await edge.get(f"/play/{private.playback_id}/about")).status_code == 401
        assert (await edge.get(f"/play/{ids.new_uuid()}/about")).status_code in (401, 404)
        # Nobody to report to is no error: the page plays and stays silent.
        assert json.loads((await edge.get(f"/play/{elsewhere.playback_id}/about")).content) == {
            "playbackId": elsewhere.playback_id
        }
