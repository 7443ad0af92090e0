"""Every command against a real platform: what people and programs read, and what is really changed."""

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import pytest
from tests import footage
from tests.running_platform import RunningPlatform
from tests.unit.commands.conftest import Neighbour, Program
from tools import make_cli_reference as reference

from fastpix.commands import upload as upload_command
from fastpix.commands.command import ClientCommand

HOSTILE = "A \x1b]0;owned\x07title\u202e"
SHOWN = "A ?]0;owned?title?"
CHUNK_BYTES = 16 << 20
NOBODY = "00000000-0000-4000-8000-000000000000"
LIMIT_S = 90


def test_every_command_does_its_work(program: Program, platform: RunningPlatform, neighbour: Neighbour) -> None:
    media_id, private_id = _media(program, neighbour)
    _media_parts(program, neighbour, media_id)
    _playlists(program, media_id)
    _live(program, platform)
    _keys(program, platform, private_id)
    _tokens(program, platform)
    _webhooks(program, neighbour)
    _data(program, platform)
    program("media", "delete", media_id, "--yes")
    for shell in ("bash", "zsh", "fish"):
        assert "_FASTPIX_COMPLETE" in program("completion", shell).stdout
    assert "compinit" in program("completion", "zsh").stdout  # which a plain .zshrc lacks
    every = {
        context.command_path.removeprefix("fastpix ")
        for command, context in reference.everything()
        if isinstance(command, ClientCommand)
    }
    assert every - program.seen == set()


def _media(program: Program, neighbour: Neighbour) -> tuple[str, str]:
    film = footage.make("plain")
    uploaded = program("upload", str(film), "--title", HOSTILE, "--metadata", "show=one")
    lines = dict(line.split("  ", 1) for line in uploaded.stdout.splitlines() if "  " in line)
    media_id = lines["ID"].strip()
    assert (lines["Title"].strip(), lines["Status"].strip()) == (SHOWN, "Ready")
    page = uploaded.stdout.rsplit("Watch it at ", 1)[1].strip()
    assert httpx.get(page, timeout=60).status_code == 200

    own = program.json("demo")  # whoever has no film gets one
    assert (own["status"], round(own["duration"]), own["playbackIds"][0]["accessPolicy"]) == ("Ready", 10, "public")
    program("media", "delete", own["id"], "--yes")

    made = program.json("media", "create", f"{neighbour.url}/film.mp4", "--access", "private", "--title", "Fetched")
    assert program.json("media", "wait", made["id"])["status"] == "Ready"
    program("media", "list")
    program("media", "input", made["id"])
    assert "fastpix key sign" in program("media", "get", made["id"]).stdout
    listed = program.json("media", "list", "--limit", "60")
    assert program("media", "get", made["id"], "--field", "playbackIds.0.accessPolicy").stdout == "private\n"
    assert "There is no x.0 in the answer" in program("media", "get", made["id"], "--field", "x.0", code=1).stderr
    assert {media_id, made["id"]} <= {item["id"] for item in listed}
    [title] = [item["title"] for item in listed if item["id"] == made["id"]]
    assert title == "Fetched"
    assert program.json("media", "update", media_id, "--title", "New", "--metadata", "a=b=c")["metadata"] == {
        "a": "b=c"
    }
    named = program.json("media", "update", made["id"], "--title", "日本")
    narrow = {**os.environ, **program.environ, "PYTHONIOENCODING": "latin-1"}
    run = [sys.executable, "-m", "fastpix", "media", "get", named["id"]]
    told = subprocess.run(run, capture_output=True, text=True, env=narrow, timeout=120, check=True).stdout
    assert "Title               ??\n" in told
    assert "Say what to change" in program("media", "update", media_id, code=2).stderr
    clip = program.json("media", "clip", media_id, "--start", "1", "--end", "2.5", "--title", "Part", "--wait")
    assert clip["duration"] == pytest.approx(1.5, abs=0.1)
    assert clip["id"] in program("media", "clips", media_id).stdout
    assert program.json("media", "files", media_id, "--mp4", "capped_4k", "--source-access")["sourceAccess"] is True
    assert "Source access  yes" in program("media", "files", media_id).stdout
    return media_id, made["playbackIds"][0]["id"]


def _media_parts(program: Program, neighbour: Neighbour, media_id: str) -> None:
    url = f"{neighbour.url}/en.vtt"
    track = ("media", "track")
    named = ("--language", "en", "--name", "English")
    added = program.json(*track, "add", media_id, url, "--type", "subtitle", *named)
    assert "subtitle" in program(*track, "list", media_id).stdout
    _until(lambda: "preparing" not in program(*track, "list", media_id).stdout)
    changed = program.json(*track, "update", media_id, added["id"], "--language", "en-GB", "--name", "British")
    assert changed["languageCode"] == "en-GB"
    program(*track, "delete", media_id, added["id"], "--yes")

    ids = ("media", "playback-id")
    made = program.json(*ids, "add", media_id, "--access", "public", "--resolution", "480p")
    rules = ("--default", "deny", "--allow", "example.com")
    program(*ids, "restrict", media_id, made["id"], "domains", *rules)
    assert "domains" in program(*ids, "list", media_id).stdout
    assert "example.com" in program(*ids, "get", media_id, made["id"]).stdout
    refused = program(*ids, "delete", media_id, made["id"], code=2)
    assert "add --yes" in refused.stderr
    program(*ids, "delete", media_id, made["id"], "--yes")
    assert made["id"] not in program(*ids, "list", media_id).stdout


def _playlists(program: Program, media_id: str) -> None:
    name = f"list-{uuid.uuid4().hex[:8]}"
    made = program.json("playlist", "create", name, "--reference", name, "--add", media_id)
    playlist_id = made["id"]
    assert media_id in program("playlist", "get", playlist_id).stdout
    assert name in program("playlist", "list", "--limit", "200").stdout
    changed = program.json("playlist", "update", playlist_id, "--description", "Films")
    assert (changed["name"], changed["description"]) == (name, "Films")
    program("playlist", "reorder", playlist_id, media_id)
    assert media_id not in program("playlist", "remove", playlist_id, media_id).stdout
    assert media_id in program("playlist", "add", playlist_id, media_id).stdout
    taken = program("playlist", "create", name, "--reference", name, code=1)
    assert taken.stderr.startswith("Error: ")
    smart = program.json(
        "playlist", "create", f"{name}-s", "--reference", f"{name}-s", "--created", "2020-01-01..2020-01-02"
    )
    assert smart["type"] == "smart"
    for one in (playlist_id, smart["id"]):
        program("playlist", "delete", one, "--yes")


def _live(program: Program, platform: RunningPlatform) -> None:
    shown = program("live", "create", "--print-obs", "--metadata", "show=two", "--reconnect-window", "120").stdout
    assert f"  Server      rtmp://127.0.0.1:{platform.rtmp_port}/live" in shown
    stream_id = shown.split("Stream ID", 1)[1].split()[0]
    stream = program.json("live", "get", stream_id)
    assert f"  Stream key  {stream['streamKey']}" in shown
    assert f"passphrase={stream['srtSecret']}" in shown
    assert f"  WHIP        {platform.base_url}/whip" in shown
    quiet = program("live", "get", stream_id).stdout
    assert stream["streamKey"] not in quiet
    assert "show=two" in program("live", "list", "--limit", "50").stdout
    assert program.json("live", "update", stream_id, "--reconnect-window", "300")["reconnectWindow"] == 300
    assert "idle" in program("live", "health", stream_id).stdout
    assert program("live", "viewers", stream_id).stdout == "0\n"
    assert "No clips" in program("live", "clips", stream_id).stderr
    target = ("live", "simulcast")
    Path("channel.key").write_text("secret-key\n")
    added = program("live", "simulcast", "add", stream_id, "rtmp://127.0.0.1:9/app", "--stream-key-file", "channel.key")
    assert "secret-key" not in added.stdout
    target_id = program.json(*target, "list", stream_id)[0]["simulcastId"]
    assert program.json(*target, "get", stream_id, target_id)["streamKey"] == "secret-key"
    assert program.json(*target, "update", stream_id, target_id, "--off")["isEnabled"] is False
    program(*target, "delete", stream_id, target_id, "--yes")
    ids = ("live", "playback-id")
    made = program.json(*ids, "add", stream_id, "--access", "private")
    program(*ids, "restrict", stream_id, made["id"], "user-agents", "--deny", "curl")
    assert "curl" in program(*ids, "get", stream_id, made["id"]).stdout
    assert "programs" in program(*ids, "list", stream_id).stdout
    program(*ids, "delete", stream_id, made["id"], "--yes")
    assert program("live", "complete", stream_id, "--yes", code=1).stderr.count("\n") == 1  # nothing is running
    program("live", "disable", stream_id, "--yes")
    assert "disabled" in program("live", "get", stream_id).stdout
    program("live", "enable", stream_id)
    program("live", "delete", stream_id, "--yes")
    assert program("live", "get", stream_id, code=4).stderr.startswith("Error: ")


def _keys(program: Program, platform: RunningPlatform, private_id: str) -> None:
    made = program("key", "create")
    [file] = Path().glob("*.pem")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in made.stdout
    key_id = file.stem
    assert key_id in program("key", "list", "--limit", "200").stdout
    assert "BEGIN PUBLIC KEY" in program("key", "get", key_id).stdout
    public = program("key", "get", key_id, "--field", "publicKey").stdout
    assert public.count("\n") > 5  # as it is, for a file
    signed = ("key", "sign", private_id, "--private-key", str(file))
    token = program(*signed, "--expires", "2h").stdout.strip()
    manifest = f"{platform.base_url}/{private_id}.m3u8"
    assert httpx.get(manifest, timeout=60).status_code == 401
    assert httpx.get(manifest, params={"token": token}, timeout=60).status_code == 200
    assert httpx.get(program(*signed, "--url").stdout.strip(), timeout=60).status_code == 200
    told = program.json(*signed, "--drm")
    assert set(told) == {"token", "expiresAt"}
    other = Path("key.pem")
    other.write_bytes(file.read_bytes())
    assert "--key-id" in program("key", "sign", private_id, "--private-key", str(other), code=2).stderr
    assert "never written over" in program("key", "create", "--out", str(other), code=2).stderr
    second = program.json("key", "create", "--out", "second.pem")
    assert "privateKey" in second
    assert not list(Path().glob(".fastpix-key-*"))
    for one in (key_id, second["id"]):
        program("key", "delete", one, "--yes")


def _tokens(program: Program, platform: RunningPlatform) -> None:
    made = program.json("token", "create", "--api", "--name", "cli test", "--permission", "data:read")
    Path("narrow.json").write_text(json.dumps({"username": made["id"], "password": made["secretKey"]}))
    refused = program("media", "list", "--credentials", "narrow.json", code=3)
    assert "video:read" in refused.stderr
    assert "cli test" in program("token", "list", "--api", "--limit", "200").stdout
    assert program.json("token", "get", made["id"])["permissions"] == ["data:read"]
    assert "only the workspace" in program("token", "list", "--api", "--workspace", "x", code=2).stderr
    assert "add --yes" in program("token", "revoke", "--api", made["id"], code=2).stderr
    program("token", "revoke", "--api", made["id"], "--yes")
    assert "refused" in program("data", "dimensions", "--credentials", "narrow.json", code=3).stderr
    # As before there was an API for it: on the database, asking nothing.
    old = [sys.executable, "-m", "fastpix", "token"]
    environ = {**os.environ, **program.environ}
    run = [
        *old,
        "create",
        "--name",
        "old way",
        "--permission",
        "*",
        "--workspace",
        platform.credentials["workspaceId"],
        "--json",
    ]
    token = json.loads(subprocess.run(run, capture_output=True, env=environ, timeout=120, check=True).stdout)
    assert token["workspaceId"] == platform.credentials["workspaceId"]
    with httpx.Client(base_url=platform.base_url, auth=(token["id"], token["secretKey"])) as http:
        assert http.get("/v1/on-demand").status_code == 200
        done = subprocess.run([*old, "revoke", token["id"]], capture_output=True, text=True, env=environ, timeout=120)
        assert (done.returncode, "revoked" in done.stdout) == (0, True)
        end_s = time.monotonic() + 60
        while http.get("/v1/on-demand").status_code != 401:  # the news of it are on their way
            assert time.monotonic() < end_s
            time.sleep(0.05)


def _webhooks(program: Program, neighbour: Neighbour) -> None:
    made = program("webhook", "create", f"{neighbour.url}/hooks", "--name", "ours")
    assert "not shown again" in made.stderr
    hook_id = made.stdout.split("ID", 1)[1].split()[0]
    Path("hook.secret").write_text(made.stdout.split("Signing secret", 1)[1].split()[0])
    assert hook_id in program("webhook", "list", "--limit", "200").stdout
    _until(lambda: "active" in program("webhook", "get", hook_id).stdout)
    neighbour.arrived.clear()
    sent = program.json("webhook", "test", hook_id)
    _until(lambda: program.json("webhook", "delivery", hook_id, sent["id"])["state"] == "delivered")
    assert sent["id"] in program("webhook", "deliveries", hook_id, "--state", "delivered").stdout
    headers, body = neighbour.arrived[0]
    Path("body.json").write_bytes(body)
    check = ("webhook", "verify", "body.json", "--secret-file", "hook.secret", "--signature")
    assert program(*check, headers["fastpix-signature"]).stdout.startswith("Genuine: ")
    assert "not signed" in program(*check, "AAAA", code=1).stderr
    program("webhook", "replay", hook_id, "--delivery", sent["id"])
    assert "events are sent again" in program("webhook", "replay", hook_id, "--last", "1h").stdout
    program("webhook", "replay", hook_id, code=2)
    assert program.json("webhook", "rotate", hook_id, "--grace", "1h")["signingSecret"]
    assert "Status" in program("webhook", "update", hook_id, "--off").stdout
    program("webhook", "delete", hook_id, "--yes")


def _data(program: Program, platform: RunningPlatform) -> None:
    """Numbers and charts have a test of their own."""
    program("data", "metrics")
    assert "country" in program("data", "dimensions").stdout
    program("data", "values", "browser_name")
    for args in (("overall", "views"), ("timeseries", "views"), ("breakdown", "views", "--by", "country")):
        program("data", *args, "--last", "1h", "--filter", "custom_1:nobody")
    program("data", "comparison", "--filter", "custom_1:nobody")
    program("data", "view", "list", "--filter", "custom_1:nobody")
    assert program("data", "view", "get", NOBODY, code=4).stderr.startswith("Error: ")
    program("data", "top")
    program("data", "errors")
    program("data", "realtime")
    program("data", "realtime", "--by", "country")
    program("data", "export", "views.csv", "--last", "1h")
    assert Path("views.csv").read_text().count(",") > 10
    alert = ("data", "alert")
    rule = ("--metric", "video_startup_time", "--above", "3000", "--window", "10")
    made = program.json(*alert, "create", f"Slow {uuid.uuid4().hex[:6]}", *rule)
    assert made["id"] in program(*alert, "list", "--limit", "200").stdout
    assert "3,000" in program(*alert, "get", made["id"]).stdout
    assert program.json(*alert, "update", made["id"], "--off")["isEnabled"] is False
    program(*alert, "delete", made["id"], "--yes")


TITLES = ("The mill",) * 5 + ("A walk  ",) * 3 + ("Snow    ",) * 2


@pytest.mark.usefixtures("terminal")
def test_known_views_make_known_charts(program: Program, platform: RunningPlatform) -> None:
    run = uuid.uuid4().hex[:8]
    key, now_ms = platform.credentials["workspaceKey"], int(time.time() * 1000)
    for index, title in enumerate(TITLES):
        view, start_ms = str(uuid.uuid4()), now_ms - 60_000
        own = {"wsid": key, "veid": view, "vdid": "v", "plinid": view, "bedn": "example"}
        state = {"vest": start_ms, "vdtt": f"{title.strip()} {run}", "viid": f"{run}-{index % 4}", "cm1": run}
        told = [("viewBegin", 0, state), ("playing", 500, {"vetitofifr": 500, "vewati": 500})]
        told.append(("viewCompleted", 30_000, {**state, "vewati": 30_000}))
        events = [
            {**own, "vesqnu": n, "plsqnu": n, "vitp": start_ms + at, "plphti": at, "evna": name, **more}
            for n, (name, at, more) in enumerate(told, 1)
        ]
        body = json.dumps({"metadata": {"transmission_timestamp": now_ms}, "events": events})
        answer = httpx.post(f"{platform.base_url}/", content=body, headers={"Content-Type": "text/plain"}, timeout=60)
        assert answer.status_code == 200
    ours = ("--last", "1h", "--filter", f"custom_1:{run}")
    _until(lambda: program.json("data", "overall", "views", *ours)["totalViews"] == len(TITLES))

    assert program("data", "breakdown", "views", "--by", "video_title", *ours).stdout.splitlines() == [
        f"The mill {run}  5  " + "█" * 58,
        f"A walk {run}    3  " + "█" * 34 + "▊",
        f"Snow {run}      2  " + "█" * 23 + "▎",
    ]
    assert program("data", "overall", "video_startup_time", *ours).stdout.splitlines()[:5] == [
        "Video startup time  500 ms",
        "Without filters     "
        + program("data", "overall", "video_startup_time", "--last", "1h").stdout.split("  ")[1].split("\n")[0],
        "Views               10",
        "Viewers             4",
        "Watched             5:00",
    ]
    [line] = program("data", "timeseries", "views", "--every", "day", *ours).stdout.splitlines()
    assert line.split("  ")[1:] == ["10", "█" * 64]
    shown = program("data", "view", "list", "--limit", "3", *ours)
    assert "3 of 10; more with --limit 10" in shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    [first, *_] = program.json("data", "view", "list", *ours)
    assert run in program("data", "view", "get", first["viewId"]).stdout
    assert program.json("data", "top", *ours)[0]["views"] == 5


def test_a_killed_upload_goes_on_by_the_same_command(
    program: Program, platform: RunningPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, size_bytes = Path("film.mp4"), 3 * CHUNK_BYTES
    content = footage.make("plain").read_bytes()
    filler = struct.pack(">I4s", size_bytes - len(content), b"free")  # a box that players skip
    film.write_bytes((content + filler).ljust(size_bytes, b"\0"))
    script = (
        "import os, signal\nfrom fastpix import cli\nfrom fastpix.commands import upload\n"
        "shown = upload._Shown.progress\n"
        "def progress(self, now):\n"
        "    shown(self, now)\n"
        "    if now.confirmed_bytes: os.kill(os.getpid(), signal.SIGKILL)\n"
        "upload._Shown.progress = progress\n"
        "cli.main(['upload', 'film.mp4', '--title', 'Long'])"
    )
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, **program.environ}, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    [state] = Path("state/fastpix/uploads").iterdir()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert json.loads(state.read_bytes())["confirmedBytes"] == CHUNK_BYTES

    shown = upload_command._Shown.progress

    def interrupted(self: object, now: object) -> None:
        shown(self, now)  # type: ignore[arg-type]
        if now.confirmed_bytes == 2 * CHUNK_BYTES:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(upload_command._Shown, "progress", interrupted)
        stopped = program("upload", "film.mp4", code=130)
    assert "Going on at 16.8 MB" in stopped.stderr
    assert "Interrupted at 33.6 MB. Run the same command again to go on." in stopped.stderr

    done = program("upload", "film.mp4")
    assert "Going on at 33.6 MB" in done.stderr
    assert "Ready" in done.stdout
    assert "Long" in done.stdout  # the options of the first time
    assert not state.exists()
    again = program.json("upload", "film.mp4", "--no-wait", "--restart")
    assert again["id"] not in done.stdout
    for one in (again["id"], done.stdout.split("ID", 1)[1].split()[0]):
        program("media", "delete", one, "--yes")


def test_errors_are_one_line_for_people_and_an_object_for_programs(
    program: Program, tmp_path: Path, platform: RunningPlatform
) -> None:
    missing = program("media", "get", NOBODY, code=4)
    assert (missing.stdout, missing.stderr.count("\n")) == ("", 1)
    told = json.loads(program("media", "get", NOBODY, "--json", code=4).stderr)
    assert (told["error"]["code"], told["exitCode"]) == (404, 4)
    invalid = json.loads(program("media", "create", "ftp://x", "--json", code=5).stderr)
    assert invalid["error"]["fields"] == [{"field": "inputs[0].url", "message": "is invalid"}]
    wrong = {"FASTPIX_USERNAME": NOBODY, "FASTPIX_PASSWORD": "wrong", "FASTPIX_BASE_URL": f"{platform.base_url}/v1"}
    assert "refused" in program("media", "list", code=3, **wrong).stderr
    nowhere = program("media", "list", "--base-url", "http://127.0.0.1:9/v1", code=7)
    assert nowhere.stderr.startswith("Error: No answer: ")
    assert "No username" in program("media", "list", code=3, FASTPIX_DATA_DIR=str(tmp_path / "none")).stderr
    page = program("media", "list", "--base-url", f"{platform.base_url}/play", code=4)
    assert page.stderr.count("\n") == 1
    assert program("media", "get", "..", code=2).stderr.startswith("Error: ")
    assert "is a directory" in program("upload", str(tmp_path), code=2).stderr.lower()


def test_a_reader_that_goes_away_and_a_shell_that_completes_are_served(
    program: Program, platform: RunningPlatform
) -> None:
    environ = {**os.environ, **program.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    gone = f"{sys.executable} -m fastpix data metrics | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", gone], capture_output=True, text=True, env=environ, timeout=120)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0: it was quicker than the reader's end
    asked = 'eval "$(fastpix completion bash)"; complete -p fastpix'
    shell = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=environ, timeout=120)
    assert "_fastpix_completion fastpix" in shell.stdout, shell.stderr
    words = {"_FASTPIX_COMPLETE": "bash_complete", "COMP_WORDS": "fastpix live sim", "COMP_CWORD": "2"}
    found = subprocess.run(["fastpix"], capture_output=True, text=True, env={**environ, **words}, timeout=120)
    assert found.stdout.split() == ["plain,simulcast"]


def _until(is_there: object) -> None:
    end = time.monotonic() + LIMIT_S
    while not is_there():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)
