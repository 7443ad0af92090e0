"""SubRip and WebVTT of strangers become cues, and cues become WebVTT that parses again."""

import re
import time

import pytest

from fastpix_server.base.errors import SourceFault
from fastpix_server.engine import subtitles, webvtt
from fastpix_server.engine.webvtt import Cue

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello <i>world</i> & all

2
00:01:00,5 --> 00:01:03,000
{\\an8}<font color="red">Two
lines</font>
"""


def test_subrip_is_read_and_written_as_webvtt():
    cues = subtitles.parse(SRT.encode())
    assert cues == (
        Cue(1000, 2500, "Hello <i>world</i> &amp; all"),
        Cue(60_500, 63_000, "Two\nlines", "line:0"),
    )
    assert webvtt.document(cues).decode() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello <i>world</i> &amp; all\n\n"
        "00:01:00.500 --> 00:01:03.000 line:0\nTwo\nlines\n\n"
    )
    assert webvtt.from_json(webvtt.to_json(cues)) == cues


@pytest.mark.parametrize(
    "data",
    [
        SRT.replace("\n", "\r\n").encode(),
        SRT.replace("\n", "\r").encode(),
        b"\xef\xbb\xbf" + SRT.encode(),
        SRT.encode("utf-16"),
        SRT.encode("utf-16-be").join([b"\xfe\xff", b""]),
        SRT.replace("\n\n2\n", "\n2\n").encode(),  # no blank line between cues
        b"\n\n" + SRT.encode() + b"\n\n\n",
    ],
)
def test_line_ends_marks_and_encodings_make_no_difference(data):
    assert subtitles.parse(data) == subtitles.parse(SRT.encode())


def test_old_code_pages_are_read_as_such():
    assert subtitles.parse("1\n00:00:01,000 --> 00:00:02,000\ncaf\u00e9 \u2013 \u20ac\n".encode("cp1252"))[0].text == (
        "caf\u00e9 \u2013 \u20ac"
    )


def test_webvtt_keeps_what_is_known_and_drops_the_rest():
    vtt = """WEBVTT - a title
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

STYLE
::cue { background: url(https://evil.example/) }

NOTE nothing

REGION
id:fred

intro
00:05.000 --> 00:07.000 line:90%,end align:start region:fred size:300 onclick:x align:left
<v.loud Mary & "Co">Hi</v> <b>there <script>run(1)</script><c.red>red</b> <00:05.500>late <00:09.000>&lt;&nbsp;&amp;amp;

01:00:00.000 --> 01:00:01.000
second
"""
    first, second = subtitles.parse(vtt.encode())
    assert (first.start_ms, first.end_ms) == (5000, 7000)
    assert first.settings == "line:90%,end align:start size:300".replace(" size:300", "")
    assert first.text == (
        '<v.loud Mary &amp; "Co">Hi</v> <b>there run(1)<c.red>red</c></b> <00:00:05.500>late &lt; &amp;amp;'
    )
    assert (second.start_ms, second.text) == (3_600_000, "second")
    assert b"evil" not in webvtt.document((first, second))


@pytest.mark.parametrize(
    "timing",
    [
        "00:00:02,000 --> 00:00:01,000",
        "00:00:02,000 --> 00:00:02,000",
        "00:61:00,000 --> 00:62:00,000",
        "00:00:99,000 --> 00:01:99,000",
        "99:00:00,000 --> 99:00:01,000",
        "soon --> later",
        "00:00:01 --> 00:00:02",
        "-00:00:01,000 --> 00:00:02,000",
        "\u0660\u0660:00:01,000 --> 00:00:02,000",
    ],
)
def test_cues_with_bad_times_are_left_out_and_a_file_of_them_is_refused(timing):
    bad = f"1\n{timing}\nnever\n\n"
    assert [c.text for c in subtitles.parse((bad + SRT).encode())] == [c.text for c in subtitles.parse(SRT.encode())]
    with pytest.raises(SourceFault, match="no subtitles"):
        subtitles.parse(bad.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"WEBVTT\n\n",
        b"<html><body>Not found</body></html>",
        b"\x00\x00\x00\x18ftypmp42",
        b"00:00:01,000 --> 00:00:02,000\n<i> </i>\n",
        b"x" * (subtitles.MAX_BYTES + 1),
        b"x" * (subtitles.MAX_LINE_CHARS + 1),
        b"00:00:01,000 --> 00:00:02,000\n" + b"long line of text\n" * 200,
        b"00:00:01,000 --> 00:00:02,000\na\n\n" * (subtitles.MAX_CUES + 1),
    ],
    ids=range(9),
)
def test_what_is_no_subtitle_file_or_too_much_of_one_is_refused(data):
    with pytest.raises(SourceFault):
        subtitles.parse(data)


@pytest.mark.parametrize(
    "piece", ["<", "<b>", "</b>", "<b.a.a", "{\\an8", "&amp", "<00:00:00", "-", "--> ", "<v x", "\n"]
)
def test_hostile_text_costs_linear_time_and_comes_out_balanced(piece):
    body = (piece * 2000)[: subtitles.MAX_CUE_CHARS - 10]
    data = (f"00:00:01,000 --> 00:00:02,000\nx{body}\n\n" * 500).encode()
    started_s = time.process_time()
    try:
        cues = subtitles.parse(data)
    except SourceFault:
        cues = ()
    assert time.process_time() - started_s < 5
    for cue in cues[:3]:
        tags = re.findall(r"<(/?)(\w+)", cue.text)
        assert sum(1 if not closing else -1 for closing, _ in tags) == 0
        assert "-->" not in cue.text
        assert "\n\n" not in cue.text
    if cues and len(cues[0].text) <= subtitles.MAX_CUE_CHARS:  # escaped, it may be too long to be read again
        assert subtitles.parse(webvtt.document(cues)) == cues


def test_overlapping_cues_stay_and_are_sorted_by_their_start():
    text = "1\n00:00:05,000 --> 00:00:09,000\nlater\n\n2\n00:00:01,000 --> 00:00:06,000\nfirst\n"
    assert [c.text for c in subtitles.parse(text.encode())] == ["first", "later"]


def test_a_segment_holds_every_cue_that_is_on_the_screen_in_it_with_its_full_times():
    cues = (Cue(0, 1000, "a"), Cue(9_500, 10_500, "b"), Cue(10_000, 11_000, "c"), Cue(20_000, 21_000, "d"))
    first, second = webvtt.segment(cues, 0, 10_000).decode(), webvtt.segment(cues, 10_000, 20_000).decode()
    assert first.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n")
    assert re.findall(r"^[a-d]$", first, re.MULTILINE) == ["a", "b"]
    assert re.findall(r"^[a-d]$", second, re.MULTILINE) == ["b", "c"]
    assert "00:00:09.500 --> 00:00:10.500" in second
    assert webvtt.segment(cues, 30_000, 40_000).decode().endswith("\n\n")
