"""One live session as it runs: takes what a publisher sends, gives every viewer's request its answer.

Invariants: the publisher never waits for anybody; requests that wait for the future are bounded in number and time and
are all released by one change; an answer is a pure value (`Answer`), HTTP is made of it elsewhere. Segments that have
left memory come from storage through `load`. Everything runs on one event loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from fastpix_server.base import log
from fastpix_server.base.errors import Invalid
from fastpix_server.engine.boxes import BoxError
from fastpix_server.engine.plan import VideoRendition
from fastpix_server.ingest.model import Publisher, Sample, Sink, Track
from fastpix_server.live.model import (
    SOURCE_RENDITION,
    Answer,
    FinishedSegment,
    JournalRow,
    PlaylistQuery,
    SessionSpec,
)
from fastpix_server.live.packager import dash, playlist
from fastpix_server.live.packager.codecs import BadTrack
from fastpix_server.live.packager.intake import Intake
from fastpix_server.live.packager.package import Package
from fastpix_server.live.packager.playlist import Form, Variant
from fastpix_server.live.packager.reading import read_tracks
from fastpix_server.live.packager.segments import PART_MAX_S, Rendition
from fastpix_server.live.packager.stills import Still
from fastpix_server.live.readers import Readers
from fastpix_server.live.stage import Stage
from fastpix_server.playback import selection

_log = log.get(__name__)

# Requests that wait for the next part. Edges ask once for all of their viewers; without them, viewers ask themselves.
MAX_WAITERS = 4096
WAIT_TARGETS = 3  # RFC 8216bis 6.2.5.2: a blocked reload is answered with 503 after three target durations
AHEAD_SEGMENTS = 2  # same section: more than this ahead of now is a mistake
AHEAD_PARTS = int(3 / PART_MAX_S) + 1  # same section: three seconds ahead of the newest part
# Viewers can begin when every rendition has a whole segment, or the lead has so many.
PLAYABLE_SEGMENTS = 3

# A publisher whose key frames are asked for may be late with one now and then (a busy machine, a lost packet). More
# often than this, its pictures are encoded anew, as those of others are at once.
LATE_KEYS_MAX, LATE_KEYS_WINDOW_S = 3, 60.0

TOO_SLOW = "fewer than two pictures a second"

HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"
MP4_TYPE = "video/mp4"
TEXT_TYPE = "text/plain"
ASSUMED_BPS = 1_000_000  # of a rendition that has nothing yet (or was restored)
FOREVER_S = 86_400  # the URL names session and number: it will never mean anything else
BLOCKED_AGE_S = 6  # a playlist that was asked for by number stays right; caches hold it for those who come late
PLAIN_AGE_S = 1
ENDED_AGE_S = 10

Load = Callable[[str, int], Awaitable[bytes | None]]
Waited = Literal["there", "late", "refused"]


class Broadcast:
    """See the module. `on_active` is called once per connection, when it can be played; `load` and `load_init` give
    the bytes of a stored segment (rendition, number) and init segment (rendition, epoch)."""

    def __init__(
        self,
        spec: SessionSpec,
        *,
        on_segment: Callable[[FinishedSegment], None],
        on_active: Callable[[], None],
        on_end_of_epoch: Callable[[str], None],
        restored: Sequence[JournalRow] = (),
        load: Load | None = None,
        load_init: Load | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.spec = spec
        self._on_active, self._on_end_of_epoch = on_active, on_end_of_epoch
        self._load, self._load_init, self._now_s = load, load_init, now_s
        self._package = Package(
            on_change=self._changed,
            on_segment=on_segment,
            on_overlong=self._overlong,
            has_storage=load is not None,
            is_dvr=spec.is_dvr,
        )
        self._package.restore(restored)
        self._stage = Stage(
            self._package,
            max_lines=spec.max_lines,
            session=spec.session_id,
            on_broken=self._break,
            on_overlong=self._begin_again,
            on_hopeless=self._hopeless,
        )
        self._connection: _Connection | None = None
        self._publisher: Publisher | None = None
        self._readers = Readers(spec.session_id)
        self._changes: dict[str, asyncio.Event] = {}
        self._texts: dict[tuple[str, Form], bytes] = {}
        self._waiters = 0
        self._is_ended = self._is_closed = False
        self._is_announced = False
        self._overlong_segments = 0
        self._late_keys_s: deque[float] = deque(maxlen=16)
        # What goes on when the next connection lacks it.
        self._silent_track: Track | None = None
        self._still: Still | None = None

    # -- the publisher ------------------------------------------------------------------------------------------

    def begin_epoch(self, publisher: Publisher) -> Sink:
        """A publisher has connected; the one before it is gone."""
        if self._connection is not None:
            self._connection.on_end("replaced")
        self._publisher = publisher
        self._package.has_uneven_keys = publisher.has_keys_on_demand
        self._is_announced = False
        intake = Intake(
            self._stage,
            now_s=self._now_s,
            silent_track=self._silent_track,
            still=self._still,
            on_slow=lambda: self._hopeless(TOO_SLOW),
        )
        self._connection = _Connection(self, intake)
        return self._connection

    def _ended(self, connection: "_Connection", reason: str) -> None:
        if self._connection is connection:
            self._silent_track = connection.intake.audio or self._silent_track
            self._still = connection.intake.still
            self._connection = None
            self._publisher = None
            self._readers.pause()
            self._on_end_of_epoch(reason)

    def _overlong(self) -> None:
        """No key frame in time. Not at once: the package is in the middle of a sample."""
        loop = asyncio.get_running_loop()
        self._overlong_segments += 1
        if self._publisher is not None and self._publisher.has_keys_on_demand:
            self._publisher.ask_for_key_frame()
            self._late_keys_s.append(loop.time())
            if sum(loop.time() - late_s < LATE_KEYS_WINDOW_S for late_s in self._late_keys_s) <= LATE_KEYS_MAX:
                return
        loop.call_soon(self._stage.encode_source)

    def _break(self) -> None:
        if self._connection is not None:
            self._connection.intake.break_epoch()

    def _begin_again(self) -> None:
        if self._connection is not None:
            self._connection.intake.begin_again()

    def _hopeless(self, why: str) -> None:
        _log.warning("live_unplayable", session=self.spec.session_id, reason=why)
        if self._publisher is not None:
            self._publisher.kick(why)

    # -- readers ------------------------------------------------------------------------------------------------

    def add_reader(self, reader: Sink) -> Callable[[], None]:
        """The known tracks at once, then samples from the next key frame. Returns what takes it out again."""
        return self._readers.add(reader, self._connection.tracks if self._connection is not None else ())

    # -- state --------------------------------------------------------------------------------------------------

    def is_playable(self) -> bool:
        """Whether a viewer who comes now gets a picture (or sound, when there is nothing else)."""
        lead = self._package.lead
        if lead is None:  # of an earlier process
            return any(r.segments for r in self._package.renditions.values())
        planned = [r for r in self._package.renditions.values() if r.name in self._package.planned]
        return _whole(lead) >= PLAYABLE_SEGMENTS or all(_whole(r) for r in planned)

    def _changed(self, rendition: Rendition) -> None:
        self._texts.clear()
        event = self._changes.pop(rendition.name, None)
        if event:
            event.set()
        if not self._is_announced and self._connection is not None and self._is_epoch_playable():
            self._is_announced = True
            self._on_active()

    def _is_epoch_playable(self) -> bool:
        """Something of this connection is there, not only of earlier ones."""
        lead = self._package.lead
        newest = next((s for s in reversed(lead.segments) if s.is_done and not s.is_gap), None) if lead else None
        return newest is not None and newest.epoch == self._package.epoch and self.is_playable()

    def health(self) -> dict[str, object]:
        """Figures of the stream as it is now, for people and for monitoring."""
        lead = self._package.lead
        counts = self._connection.intake.counts if self._connection else None
        return {
            "is_publishing": self._connection is not None,
            "epoch": self._package.epoch,
            "target_duration_s": self._package.target_duration_s,
            "held_bytes": self._package.held_bytes,
            "waiting_requests": self._waiters,
            "readers": len(self._readers),
            "gaps": self._package.gaps,
            "late_samples": self._package.dropped,
            "overlong_segments": self._overlong_segments,
            "encoder_lag_s": round(self._stage.lag_s, 3),
            "encoder_failures": self._stage.failures,
            "encoder_skipped_segments": self._stage.skipped_segments,
            "fps": round(lead.fps, 3) if lead else 0.0,
            "renditions": {
                r.name: {"segments": _whole(r), "bitrate_bps": r.peak_bps} for r in self._package.renditions.values()
            },
            "source": {name: getattr(counts, name) for name in type(counts).__slots__} if counts else {},
            "transport": dict(self._publisher.stats()) if self._publisher else {},
        }

    def newest_picture(self) -> tuple[bytes, bytes] | None:
        """An init segment, and the newest part that begins with a key frame, of the best rung."""
        lead = self._package.lead
        if lead is None or lead.info is None or lead.info.kind != "video":
            return None
        for segment in reversed(lead.segments):
            if segment.parts and segment.parts[0].is_independent and segment.epoch in lead.inits:
                return lead.inits[segment.epoch], segment.parts[0].data
        return None

    def end(self) -> None:
        """The session is over: playlists are complete, and nobody waits any more."""
        if self._is_ended:
            return
        if self._connection is not None:
            self._connection.on_end("session_over")
        self._package.end()
        self._is_ended = True
        self._texts.clear()
        self._readers.end("session_over")
        self._wake()

    def _wake(self) -> None:
        changes, self._changes = self._changes, {}
        for event in changes.values():
            event.set()

    async def close(self) -> None:
        """Nothing of it runs any more; what is in memory can still be asked for.

        A session that has not ended goes on elsewhere: its playlists stay open, whoever waits is told to come again.
        """
        if self._connection is not None:
            self._connection.on_end("shutdown")
        self._package.end()
        self._is_closed = True
        self._wake()
        await self._stage.close()

    # -- viewers ------------------------------------------------------------------------------------------------

    async def multivariant(self, params: Mapping[str, str], folder: str) -> Answer:
        if not self.is_playable():
            return _refusal(400, "stream not ready")
        try:
            wish = selection.parse(params)
        except Invalid as bad:
            return _refusal(400, str(bad))
        shown = await self._shown()
        sound = next((r for r in shown if r.info and r.info.kind == "audio"), None)
        sound_bps = _rate(sound) if sound else 0
        videos = {r.name: r for r in shown if r.info and r.info.kind == "video"}
        order = selection.choose([_as_rung(r) for r in videos.values()], wish, None)
        variants = [
            Variant(r.info, _rate(r) + sound_bps) for r in (videos[rung.name] for rung in order) if r.info is not None
        ]
        audio = Variant(sound.info, sound_bps) if sound and sound.info else None
        is_dvr = self.spec.is_dvr and params.get("dvrMode") == "true"
        text = playlist.multivariant(variants, audio, root=folder, is_dvr=is_dvr)
        return Answer(200, text.encode(), HLS_TYPE, ENDED_AGE_S if self._is_ended else PLAIN_AGE_S)

    async def dash(self, params: Mapping[str, str], folder: str) -> Answer:
        if not self.is_playable():
            return _refusal(400, "stream not ready")
        try:
            wish = selection.parse(params)
        except Invalid as bad:
            return _refusal(400, str(bad))
        shown = await self._shown()
        videos = {r.name: r for r in shown if r.info and r.info.kind == "video"}
        order = selection.choose([_as_rung(r) for r in videos.values()], wish, None)
        chosen = [videos[rung.name] for rung in order] + [r for r in shown if r.name not in videos]
        target_s = self._package.target_duration_s
        if not chosen or target_s is None:
            return _refusal(400, "stream not ready")
        is_dvr = self.spec.is_dvr and params.get("dvrMode") == "true"
        form = Form(target_s, self._is_ended, is_dvr)
        text = dash.manifest(
            [dash.Listed(r.name, r.infos, playlist.listed(r, form), _rate(r)) for r in chosen],
            self._package.epochs,
            root=folder,
            target_duration_s=target_s,
            now_ms=round(self._now_s() * 1000),
            is_ended=self._is_ended,
            is_dvr=is_dvr,
        )
        return Answer(200, text.encode(), DASH_TYPE, ENDED_AGE_S if self._is_ended else PLAIN_AGE_S)

    async def _shown(self) -> list[Rendition]:
        """The renditions of this epoch (or the last one) that have something to show, described."""
        shown = [r for r in self._package.renditions.values() if r.name in self._package.planned and r.segments]
        for rendition in shown:
            if rendition.info is None and self._load_init is not None:  # of an earlier process
                epoch = rendition.segments[-1].epoch
                init = await self._load_init(rendition.name, epoch)
                if init is not None and rendition.info is None:
                    with suppress(BoxError, BadTrack):
                        rendition.describe(epoch, read_tracks(init)[0].track)
        return [r for r in shown if r.info is not None]

    async def playlist(self, rendition: str, query: PlaylistQuery) -> Answer:
        found = self._package.renditions.get(rendition)
        target_s = self._package.target_duration_s
        if found is None or not found.segments or target_s is None:
            return _refusal(404, "no such rendition")
        if query.msn is None and query.part is not None:
            return _refusal(400, "_HLS_part without _HLS_msn")
        if query.msn is not None and not self._is_ended:
            if not _is_near(found, query.msn, query.part):
                return _refusal(400, "too far in the future")
            msn, part = query.msn, query.part
            waited = await self._wait(found, lambda: found.has(msn, part), WAIT_TARGETS * target_s)
            # While a publisher is away, players must stay: they give up after a few errors, not after an old playlist.
            if waited == "refused" or (waited == "late" and self._connection is not None):
                return _refusal(503, "nothing new")
            if waited == "late":
                return Answer(200, self._text(found, self._form(query, target_s)), HLS_TYPE, 0)
        age_s = ENDED_AGE_S if self._is_ended else PLAIN_AGE_S if query.msn is None else BLOCKED_AGE_S
        return Answer(200, self._text(found, self._form(query, target_s)), HLS_TYPE, age_s)

    def _form(self, query: PlaylistQuery, target_s: int) -> Form:
        return Form(target_s, self._is_ended, query.is_dvr and self.spec.is_dvr, query.skip)

    def _text(self, rendition: Rendition, form: Form) -> bytes:
        text = self._texts.get((rendition.name, form))
        if text is None:
            others = [r for r in self._package.renditions.values() if r.name in self._package.planned]
            expected_s = next((s.duration_s for s in reversed(rendition.segments) if s.is_done), 0.0)
            text = playlist.media(rendition, others, form, expected_s=expected_s).encode()
            self._texts[rendition.name, form] = text
        return text

    async def segment(self, rendition: str, number: int) -> Answer:
        found = self._package.renditions.get(rendition)
        if found is None or not found.segments or not 0 <= number <= found.segments[-1].number:
            return _refusal(404, "no such segment")
        entry = found.find(number)
        if entry is not None and (entry.is_gap or not entry.is_done):
            return _refusal(404, "no such segment")
        if entry is not None and entry.is_in_memory:
            return Answer(200, b"".join(part.data for part in entry.parts), MP4_TYPE, FOREVER_S)
        data = await self._load(rendition, number) if self._load else None
        return Answer(200, data, MP4_TYPE, FOREVER_S) if data else _refusal(404, "no such segment")

    async def part(self, rendition: str, number: int, part: int) -> Answer:
        """A part that a playlist has announced is waited for."""
        found = self._package.renditions.get(rendition)
        if found is None or not found.segments or number < 0 or part < 0:
            return _refusal(404, "no such part")
        if not self._is_decided(found, number, part) and _is_near(found, number, part):
            limit_s = WAIT_TARGETS * (self._package.target_duration_s or 1)
            await self._wait(found, lambda: self._is_decided(found, number, part), limit_s)
        entry = found.find(number)
        if entry is None or part >= len(entry.parts):
            return _refusal(404, "no such part")
        return Answer(200, entry.parts[part].data, MP4_TYPE, FOREVER_S)

    @staticmethod
    def _is_decided(rendition: Rendition, number: int, part: int) -> bool:
        """Whether the part is here, or will never be."""
        entry = rendition.find(number)
        if entry is None:
            return number < rendition.segments[0].number
        return entry.is_done or part < len(entry.parts)

    async def init(self, rendition: str, epoch: int) -> Answer:
        found = self._package.renditions.get(rendition)
        if found is None or not 0 <= epoch <= self._package.epoch:
            return _refusal(404, "no such init segment")
        data = found.inits.get(epoch)
        if data is None and self._load_init is not None:
            data = await self._load_init(rendition, epoch)
        return Answer(200, data, MP4_TYPE, FOREVER_S) if data else _refusal(404, "no such init segment")

    async def _wait(self, rendition: Rendition, is_there: Callable[[], bool], limit_s: float) -> Waited:
        """Until it is there or the session ends: "there". Refused at once when too many wait, or nobody works here."""
        if is_there() or self._is_ended:
            return "there"
        if self._waiters >= MAX_WAITERS:
            return "refused"
        self._waiters += 1
        try:
            async with asyncio.timeout(limit_s):
                while not is_there() and not self._is_ended:
                    if self._is_closed:
                        return "refused"
                    await self._changes.setdefault(rendition.name, asyncio.Event()).wait()
        except TimeoutError:
            return "late"
        finally:
            self._waiters -= 1
        return "there"


class _Connection:
    """The sink of one publisher's connection."""

    def __init__(self, broadcast: Broadcast, intake: Intake) -> None:
        self.intake = intake
        self._broadcast = broadcast
        self._is_over = False

    @property
    def tracks(self) -> list[Track]:
        return [track for track in (self.intake.video, self.intake.audio) if track is not None]

    def on_track(self, track: Track) -> None:
        if not self._is_over:
            self.intake.on_track(track)
            self._broadcast._readers.track(track)

    def on_sample(self, sample: Sample) -> None:
        if not self._is_over:
            self.intake.on_sample(sample)
            self._broadcast._readers.sample(sample, has_video=self.intake.video is not None)

    def on_end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self.intake.end()
            self._broadcast._ended(self, reason)


def _whole(rendition: Rendition) -> int:
    return sum(s.is_done and not s.is_gap for s in rendition.segments)


def _rate(rendition: Rendition) -> int:
    """The measured peak; before anything is measured, what parts there are, and never nothing."""
    if rendition.peak_bps:
        return rendition.peak_bps
    segment = rendition.segments[-1] if rendition.segments else None
    return round(segment.size_bytes * 8 / segment.duration_s) if segment and segment.size_bytes else ASSUMED_BPS


def _as_rung(rendition: Rendition) -> VideoRendition:
    """As the rules for choosing rungs want it."""
    info = rendition.info
    assert info is not None
    return VideoRendition(
        name=info.name,
        kind="copy" if info.name == SOURCE_RENDITION else "encode",
        width=info.width,
        height=info.height,
        max_bitrate_bps=_rate(rendition),
        average_bitrate_bps=_rate(rendition),
        crf=0,
        preset="",
        codec=info.codec,
    )


def _is_near(rendition: Rendition, number: int, part: int | None) -> bool:
    """Not farther in the future than a player can have reason to ask (RFC 8216bis, 6.2.5.2)."""
    last = rendition.segments[-1]
    if number > last.number + AHEAD_SEGMENTS:
        return False
    return part is None or number != last.number or last.is_done or part <= len(last.parts) + AHEAD_PARTS


def _refusal(status: int, why: str) -> Answer:
    return Answer(status, why.encode(), TEXT_TYPE, 0)
