"""What reaches a terminal is safe, fits, and draws what it is told."""

import io
import json
from datetime import UTC, datetime

import click
import pytest

from fastpix import errors
from fastpix.commands import access, addresses, charts, failing, measures, progress, screen, spans, table, text
from fastpix.commands.screen import Screen
from fastpix.commands.table import Column

TTY = Screen(is_terminal=True, columns=60)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07", "?[31mred?]0;title?"),
        ("two\nlines\r\ttab", "two lines  tab"),
        ("\u202egnp.exe\u2066", "?gnp.exe?"),
        ("\x9b2J\x7f\x00", "?2J??"),
        ("naïve 日本 🎬", "naïve 日本 🎬"),
        (None, "-"),
        (["a", "\x1b"], "a, ?"),
        (True, "yes"),
    ],
)
def test_a_text_has_nothing_that_a_terminal_acts_upon(hostile, shown):
    assert text.clean(hostile) == shown
    assert text.clean(hostile).isprintable()


def test_values_are_written_with_their_units():
    assert [text.size(n) for n in (0, 999, 1000, 999_950, 34_100_000, 2.6e9, 7e15)] == [
        "0 B", "999 B", "1.0 kB", "1.0 MB", "34.1 MB", "2.6 GB", "7000.0 TB",
    ]  # fmt: skip
    assert [text.clock(n) for n in (0, 5.31, 62, 3723.4, None)] == ["0:00", "0:05", "1:02", "1:02:03", "-"]
    assert text.ago("2026-11-26T11:57:00.123456789Z", NOW) == "2m ago"
    assert text.ago("2026-11-24T12:00:00", NOW) == "2d ago"
    assert text.ago("2020-01-02T00:00:00Z", NOW) == "2020-01-02"
    assert text.ago("\x1bno time", NOW) == "?no time"
    assert text.moment("2026-11-26T13:00:00+01:00") == "2026-11-26 12:00:00 UTC"
    assert [text.label(key) for key in ("bitrateBps", "rttMs", "receivedBytes", "fps", "bytes")] == [
        "Bitrate",
        "RTT",
        "Received",
        "FPS",
        "Bytes",
    ]
    assert [table.shown(key, 1_676_903) for key in ("bitrateBps", "rttMs", "receivedBytes")] == [
        "1.68 Mb/s",
        "1,676,903 ms",
        "1.7 MB",
    ]
    assert [text.label(key) for key in ("playbackIds", "mp4Support", "status")] == [
        "Playback IDs",
        "MP4 support",
        "Status",
    ]
    assert measures.written("video_startup_time", 1234.5) == "1.23 s"
    assert measures.written("buffer_ratio", 0.0125) == "1.2 %"
    assert measures.written("buffer_ratio", 7, "count") == "7"
    assert measures.written("views", None) == "-"
    assert measures.of_type("mbps", 2_500_000) == "2.50 Mb/s"


def test_a_table_fits_a_terminal_and_is_whole_in_a_pipe():
    rows = [
        {"id": "a" * 36, "n": 7, "title": "日本語のとても長い題名です。もっと長く"},
        {"id": "b", "n": 12345, "title": None},
    ]
    columns = (
        Column("ID", "id"),
        Column("N", "n", text.number, is_right=True),
        Column("TITLE", "title", is_flexible=True),
    )
    assert table.lines(rows, columns, TTY) == [
        "ID                                         N  TITLE",
        "a" * 36 + "       7  日本語のとて…",
        "b" + " " * 37 + "12,345  -",
    ]
    assert table.lines(rows, columns, Screen())[1].endswith(rows[0]["title"])
    assert max(text.width(line) for line in table.lines(rows, columns, TTY)) <= 60


def test_an_object_is_shown_whole_and_own_words_stay_as_they_are():
    data = {
        "createdAt": "2026-11-26T12:00:00Z",
        "id": "m",
        "duration": 62.5,
        "isAudioOnly": False,
        "nothing": None,
        "empty": [],
        "metadata": {"showName": "x\x1b", "at": "1"},
        "tracks": [{"id": "t", "width": 640}, {"id": "u"}],
        "rules": {"domains": {"allow": ["a", "b"]}},
    }
    assert table.details(data, Screen(), first=("id",)) == [
        "ID             m",
        "Created at     2026-11-26 12:00:00 UTC",
        "Duration       1:02 (62.50 s)",
        "Is audio only  no",
        "Metadata",
        "  showName  x?",
        "  at        1",
        "Tracks",
        "  ID  WIDTH",
        "  t   640",
        "  u   -",
        "Rules",
        "  Domains",
        "    Allow  a, b",
    ]


def test_bars_are_exact_in_unicode_and_in_ascii():
    rows = [
        ("DE", 80.0, "80"),
        ("a very long label of thirty-three", 33.0, "33"),
        ("FR", 0.0, "0"),
        ("none", None, "-"),
    ]
    assert charts.bars(rows, 60, is_unicode=True) == [
        "DE                                80  ██████████████████████",
        "a very long label of thirty-thr…  33  █████████▏",
        "FR                                 0",
        "none                               -",
    ]
    assert charts.bars(rows[:1] + rows[2:3], 20, is_unicode=False) == ["DE  80  ############", "FR   0"]
    assert charts.bar(0.001, 80, 20, is_unicode=True) == "▏"
    assert charts.bar(0.001, 80, 20, is_unicode=False) == "#"
    assert charts.bars([], 80, is_unicode=True) == []


def test_sparklines_are_exact_share_marks_and_show_gaps():
    assert charts.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 80, is_unicode=True) == "▁▂▃▄▅▆▇█"
    assert charts.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 80, is_unicode=False) == "_.-=+*%#"
    assert charts.sparkline([1, None, 1], 80, is_unicode=True) == "▄ ▄"
    assert charts.sparkline([0, 0, 10, 10], 2, is_unicode=True) == "▁█"
    assert charts.sparkline([None], 80, is_unicode=True) == ""


def test_a_line_of_progress_tells_rate_and_time_left_and_stays_in_its_line():
    shown = progress.sent(50_000_000, 100_000_000, 10_000_000.0, is_unicode=True)
    assert shown == " 50 %  ████████████░░░░░░░░░░░░  50.0 MB of 100.0 MB  10.0 MB/s  0:05 left"
    assert text.width(shown) < 80
    assert progress.sent(1, 1, None, is_unicode=False) == "100 %  [########################]  1 B of 1 B"
    now = [0.0]
    rate = progress.Rate(lambda: now[0])
    seen = []
    for step in range(8):
        now[0] = step
        seen.append(rate.at(step * 1000))
    assert seen[0] is None
    assert seen[-1] == pytest.approx(1000)
    assert rate.at(500) is None  # a connection broke, and it goes on from an earlier place


def test_a_pipe_has_no_colours_and_a_narrow_encoding_no_blocks(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert screen.of(io.StringIO()) == Screen(is_terminal=False, is_unicode=False)

    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    utf8, latin = Terminal(io.BytesIO(), encoding="utf-8"), Terminal(io.BytesIO(), encoding="latin-1")
    assert (screen.of(utf8).has_colour, screen.of(utf8).is_unicode) == (True, True)
    assert screen.of(latin).is_unicode is False
    assert screen.of(utf8).paint("x", "red") != "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert screen.of(utf8).paint("x", "red", bold=True) == "x"


def test_spans_are_read_and_nonsense_is_refused():
    assert [spans.duration_s(given) for given in ("90s", "30m", "2H", "7d", "4w")] == [
        90,
        1800,
        7200,
        604_800,
        2_419_200,
    ]
    for bad in ("", "7", "d", "-1d", "0h", "1.5h", "9999999w"):
        with pytest.raises(click.BadParameter):
            spans.duration_s(bad)
    assert spans.moment("2026-11-20") == datetime(2026, 11, 20, tzinfo=UTC)
    assert spans.chosen(None, None, None) is None
    since, until = spans.chosen(3600, None, None) or (None, None)
    assert since is not None
    assert until is not None
    assert (until - since).total_seconds() == 3601 - 1
    for wrong in ((60, NOW, None), (None, None, NOW), (None, NOW, NOW)):
        with pytest.raises(click.UsageError):
            spans.chosen(*wrong)


def refusal(kind, status, **error):
    return kind(status=status, headers={"x-request-id": "r1", "retry-after": "7"}, body=b"", error=error)


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (
            refusal(errors.Unauthorized, 401, message="unauthorized"),
            3,
            "The credentials were refused (401, request r1)",
        ),
        (refusal(errors.Forbidden, 403, description="lacks video:write."), 3, "Lacks video:write (403, request r1)"),
        (refusal(errors.NotFound, 404, message="no\x1b such"), 4, "No? such (404, request r1)"),
        (
            refusal(errors.Invalid, 422, fields=[{"field": "title", "message": "is too long"}] * 12),
            5,
            "; ".join(["title is too long"] * 10) + "; and 2 more (422, request r1)",
        ),
        (refusal(errors.RateLimited, 429), 6, "Too many requests; try again in 7 s (429, request r1)"),
        (errors.ConnectionFailed("GET x: [Errno 111] Connection refused"), 7, "No answer: GET x: Connection refused"),
        (refusal(errors.ServerFault, 503, message="busy"), 8, "Busy (503, request r1)"),
        (errors.NotConfigured("No username: ..."), 3, "No username: ..."),
        (FileNotFoundError(2, "No such file or directory", "a\n.mp4"), 1, "a .mp4: No such file or directory"),
        (ValueError("mediaId must be an id, not '..'"), 2, "mediaId must be an id, not '..'"),
        (KeyError("x"), 70, "KeyError: 'x' (a fault of this program; please report it)"),
    ],
)
def test_every_failure_is_one_line_and_a_code(fault, code, sentence):
    failure = failing.understood(fault)
    assert (failure.exit_code, failure.sentence) == (code, sentence)


def test_found_credentials_never_leave_this_machine(tmp_path, monkeypatch):
    for name in ("USERNAME", "PASSWORD", "BASE_URL", "HTTP_PORT", "PUBLIC_URL", "DATA_DIR", "RTMP_PORT", "SRT_PORT"):
        monkeypatch.delenv(f"FASTPIX_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    assert access.find(None, None) == (None, None, None)
    folder = tmp_path / "fastpix-data"
    folder.mkdir()
    found = folder / "credentials.json"
    found.write_text('{"username": "u", "password": "p", "baseUrl": "https://evil.example/v1"}')
    assert access.find(None, None) == ("u", "p", "http://127.0.0.1:8080/v1")
    assert access.find("http://localhost:9/v1", None) == ("u", "p", "http://localhost:9/v1")
    assert access.find("https://api.example.com/v1", None) == (None, None, "https://api.example.com/v1")
    assert access.find(None, str(found)) == ("u", "p", "https://evil.example/v1")  # named by the user
    # Other ports, as `fastpix up` noted them: of this machine only, and only what can be a port.
    ports = {"http": 9080, "rtmp": 19350, "srt": "x", "rtmps": 0}
    found.write_text(json.dumps({"username": "u", "password": "p", "ports": ports}))
    assert access.find(None, None) == ("u", "p", "http://127.0.0.1:9080/v1")
    assert [access.port(kind, 1, "http://127.0.0.1/v1") for kind in ("rtmp", "rtmps", "srt")] == [19350, 1, 1]
    assert access.port("rtmp", 1935, "https://video.example.com/v1") == 1935
    monkeypatch.setenv("FASTPIX_HTTP_PORT", "9000")
    monkeypatch.setenv("FASTPIX_PUBLIC_URL", "https://video.example.com")
    assert access.find(None, None) == ("u", "p", "http://127.0.0.1:9000/v1")
    monkeypatch.setenv("FASTPIX_USERNAME", "mine")
    assert access.find(None, None) == (None, None, None)
    found.write_text("[" * 100_000)
    with pytest.raises(click.UsageError, match="no JSON"):
        access.find(None, str(found))


def test_addresses_follow_the_base_url(monkeypatch):
    monkeypatch.delenv("FASTPIX_RTMP_PORT", raising=False)
    monkeypatch.delenv("FASTPIX_SRT_PORT", raising=False)
    assert addresses.player("http://127.0.0.1:8080/v1", "p/1", "a.b") == "http://127.0.0.1:8080/play/p%2F1?token=a.b"
    assert addresses.player("https://api.fastpix.com/v1/", "p", "t") == "https://play.fastpix.com/?playbackId=p&token=t"
    assert addresses.player("https://api.video.example/v1", "p") == "https://stream.video.example/play/p"
    ours = addresses.encoders("https://[::1]:8443/v1", host=None, stream_key="k&", srt_secret="s")
    assert ours is not None
    assert ours.rtmp == "rtmp://[::1]:1935/live"
    assert ours.srt == "srt://[::1]:8890?mode=caller&streamid=k%26&passphrase=s"
    assert ours.whip == "https://[::1]:8443/whip"
    assert addresses.encoders("https://api.fastpix.com/v1", host=None, stream_key="k", srt_secret=None) is None
