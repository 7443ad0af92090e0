"""A strict reader of media playlists: RFC 8216bis's rules for what we write, and for what one update may change.

`read` raises AssertionError with the rule that is broken. `check_update` compares two playlists of one rendition.
"""

import dataclasses
import re

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)')


@dataclasses.dataclass
class PartLine:
    duration_s: float
    uri: str
    is_independent: bool


@dataclasses.dataclass
class SegmentLines:
    number: int
    duration_s: float = 0.0
    uri: str = ""
    map_uri: str = ""
    pdt: str = ""
    is_discontinuity: bool = False
    is_gap: bool = False
    parts: list[PartLine] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Playlist:
    target_s: int = 0
    part_target_s: float = 0.0
    control: dict[str, str] = dataclasses.field(default_factory=dict)
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    kind: str = ""
    skipped: int = 0
    segments: list[SegmentLines] = dataclasses.field(default_factory=list)
    open: SegmentLines | None = None  # parts of a segment that is not whole yet
    hint: str = ""
    reports: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    is_ended: bool = False

    @property
    def last_number(self) -> int:
        return self.media_sequence + self.skipped + len(self.segments) - 1


def attributes(text: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(text)
    assert ",".join(f"{name}={value}" for name, value in found) == text, f"attribute list: {text}"
    assert len({name for name, _ in found}) == len(found), f"an attribute twice: {text}"
    return {name: value.strip('"') for name, value in found}


def read(text: str, *, is_steady: bool = True) -> Playlist:
    """`is_steady`: pictures come evenly. One that lasts long cannot be divided, and makes the part before it short."""
    lines = text.split("\n")
    assert lines[0] == "#EXTM3U"
    assert lines[-1] == "", "the last line ends with a line feed"
    found, seen = Playlist(), set()
    current: SegmentLines | None = None
    map_uri = ""
    for line in lines[1:-1]:
        tag, _, value = line.partition(":")
        assert not found.is_ended, "nothing follows ENDLIST"
        assert not found.hint or tag == "#EXT-X-RENDITION-REPORT", "the hint stands at the end"
        if tag in (
            "#EXT-X-TARGETDURATION",
            "#EXT-X-MEDIA-SEQUENCE",
            "#EXT-X-VERSION",
            "#EXT-X-DISCONTINUITY-SEQUENCE",
            "#EXT-X-SERVER-CONTROL",
            "#EXT-X-PART-INF",
            "#EXT-X-PLAYLIST-TYPE",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-SKIP",
        ):
            assert tag not in seen, f"{tag} twice"
            assert not found.segments, f"{tag} after a segment"
            seen.add(tag)
        if current is None and tag not in seen:
            current = SegmentLines(found.media_sequence + found.skipped + len(found.segments), map_uri=map_uri)
        if tag == "#EXT-X-TARGETDURATION":
            found.target_s = int(value)
        elif tag == "#EXT-X-VERSION":
            assert int(value) >= 9, "skips need version 9"
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            found.media_sequence = int(value)
        elif tag == "#EXT-X-DISCONTINUITY-SEQUENCE":
            found.discontinuity_sequence = int(value)
        elif tag == "#EXT-X-PLAYLIST-TYPE":
            found.kind = value
        elif tag == "#EXT-X-SERVER-CONTROL":
            found.control = attributes(value)
        elif tag == "#EXT-X-PART-INF":
            found.part_target_s = float(attributes(value)["PART-TARGET"])
        elif tag == "#EXT-X-SKIP":
            found.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
        elif tag == "#EXT-X-INDEPENDENT-SEGMENTS":
            pass
        elif tag == "#EXT-X-RENDITION-REPORT":
            report = attributes(value)
            found.reports[report["URI"]] = (int(report["LAST-MSN"]), int(report["LAST-PART"]))
        elif tag == "#EXT-X-PRELOAD-HINT":
            assert attributes(value)["TYPE"] == "PART"
            found.hint = attributes(value)["URI"]
        elif tag == "#EXT-X-ENDLIST":
            found.is_ended = True
        else:
            assert current is not None
            map_uri = _segment_line(current, tag, value, line) or map_uri
            if not line.startswith("#"):
                found.segments.append(current)
                current = None
    found.open = current if current is not None and current.parts else None
    _check(found, is_steady)
    return found


def _segment_line(current: SegmentLines, tag: str, value: str, line: str) -> str:
    if tag == "#EXT-X-MAP":
        current.map_uri = attributes(value)["URI"]
        return current.map_uri
    if tag == "#EXT-X-DISCONTINUITY":
        assert not current.parts, "a discontinuity stands before the parts"
        current.is_discontinuity = True
    elif tag == "#EXT-X-PROGRAM-DATE-TIME":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value)
        current.pdt = value
    elif tag == "#EXT-X-GAP":
        current.is_gap = True
    elif tag == "#EXT-X-PART":
        part = attributes(value)
        current.parts.append(PartLine(float(part["DURATION"]), part["URI"], part.get("INDEPENDENT") == "YES"))
    elif tag == "#EXTINF":
        current.duration_s = float(value.rstrip(","))
    else:
        assert not line.startswith("#"), f"an unknown tag: {line}"
        current.uri = line
    return ""


def _check(p: Playlist, is_steady: bool) -> None:
    assert p.target_s > 0, "TARGETDURATION is required"
    shown = [*p.segments, *([p.open] if p.open else [])]
    for segment in p.segments:
        assert int(segment.duration_s + 0.5) <= p.target_s, f"{segment.number} is longer than the target"
        assert segment.duration_s > 0
        assert segment.uri == f"{segment.number}.m4s"
        assert segment.map_uri or segment.is_gap or p.skipped, "a segment without a map"
        if segment.parts:
            assert abs(sum(x.duration_s for x in segment.parts) - segment.duration_s) < 0.001, "parts make the segment"
    has_parts = any(s.parts for s in shown)
    assert has_parts == bool(p.part_target_s), "PART-INF stands exactly where parts are"
    assert bool(p.hint) == has_parts, "a hint stands exactly where parts are"
    for segment in shown:
        _check_parts(p, segment, is_open=segment is p.open, is_steady=is_steady)
    if p.is_ended:
        assert not has_parts, "nothing low-latency in an ended playlist"
    else:
        assert p.control["CAN-BLOCK-RELOAD"] == "YES"
        assert float(p.control["HOLD-BACK"]) >= 3 * p.target_s
        assert float(p.control["CAN-SKIP-UNTIL"]) >= 6 * p.target_s
    if has_parts:
        assert float(p.control["PART-HOLD-BACK"]) >= 3 * p.part_target_s - 1e-6
    assert p.skipped == 0 or p.kind != "VOD"
    if shown and not p.skipped:
        assert shown[0].pdt, "the first segment tells the time of day"


def _check_parts(p: Playlist, segment: SegmentLines, *, is_open: bool, is_steady: bool) -> None:
    for k, part in enumerate(segment.parts):
        assert part.uri == f"{segment.number}.{k}.m4s"
        assert part.duration_s <= p.part_target_s + 1e-6, f"{part.uri} is longer than the part target"
        # 4.4.4.9. Of an open segment the newest part may turn out to be its last.
        if is_steady and k < len(segment.parts) - 1:
            assert part.duration_s >= 0.85 * p.part_target_s - 1e-6, f"{part.uri} is too short"
    if segment.parts and not is_open:
        assert segment.uri


def check_update(older: Playlist, newer: Playlist) -> None:
    """6.2.1 and 6.2.2: what may change between two playlists of one rendition."""
    assert newer.target_s == older.target_s, "TARGETDURATION never changes"
    assert newer.media_sequence >= older.media_sequence
    assert newer.discontinuity_sequence >= older.discontinuity_sequence
    assert newer.last_number >= older.last_number
    before = {s.number: s for s in older.segments}
    for segment in newer.segments:
        known = before.get(segment.number)
        if known is not None:
            assert (known.duration_s, known.uri, known.is_discontinuity, known.is_gap) == (
                segment.duration_s,
                segment.uri,
                segment.is_discontinuity,
                segment.is_gap,
            ), f"segment {segment.number} has changed"
    if older.open is not None and not newer.skipped:
        grown = next((s for s in newer.segments if s.number == older.open.number), newer.open)
        if grown is not None and grown.number == older.open.number and grown.parts:
            assert grown.parts[: len(older.open.parts)] == older.open.parts, "listed parts have changed"
    if older.kind == "EVENT":
        assert newer.kind == "EVENT"
        assert newer.media_sequence == older.media_sequence
