"""All renditions of one session, cut at the same times: the lead decides where segments begin, the others follow.

Invariants: numbers of segments grow by one over the whole session and name the same time in every rendition; where a
rendition has nothing for a number it gets a gap; no segment lasts longer than the target duration allows, which is
chosen once, from the session's first segment. Memory for media is at most `MAX_MEMORY_BYTES` plus the open segments.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from fastpix_server.ingest.model import CLOCK_HZ, Track
from fastpix_server.live.model import AUDIO_RENDITION, SEGMENT_TARGET_S, FinishedSegment, JournalRow
from fastpix_server.live.packager.clock import MAX_STEP
from fastpix_server.live.packager.dash import Epoch
from fastpix_server.live.packager.segments import WINDOW_S, Cut, Placed, Rendition, Segment

# Of one session: two minutes of 6 Mb/s. When it is full, the oldest segments are served from storage.
MAX_MEMORY_BYTES = 96 << 20
# A segment that has left the playlist is still asked for by players that hold an older one.
GRACE_S = 15.0
GRACE_WITHOUT_STORAGE_S = 60.0  # RFC 8216 6.2.2: the length of the longest playlist that listed it
# Key frames farther apart than a target duration of 4 s make plain players wait 12 s and more: those are encoded anew.
TARGET_DURATIONS_S = (2, 4)
MAX_OPEN_SEGMENT_BYTES = 64 << 20  # 4 s at 128 Mb/s
# Samples that wait for the lead to get as far: 10 s of sound and of a 60 frames/s rung are 1,100.
MAX_WAITING = 2000
# A rendition this far behind is not waited for; it gets gaps.
MAX_BEHIND = 32
# Players can begin when the first segment of a session is whole: it ends with the first key frame after this.
FIRST_SEGMENT_S = 1.0
_EARLY_S = 0.1  # a key frame this much before the target is taken rather than the next one
# RFC 8216 4.3.3.1: durations are rounded to whole seconds before they are compared. A segment of sound may be half a
# frame longer than the pictures (64 ms at 8 kHz), so the last tenth is left free.
_ROUNDING_S, _SOUND_MARGIN_S = 0.4, 0.1


class Package:
    """`on_overlong` is called when no key frame came for too long (the segment is cut at another frame)."""

    def __init__(
        self,
        *,
        on_change: Callable[[Rendition], None],
        on_segment: Callable[[FinishedSegment], None],
        on_overlong: Callable[[], None],
        has_storage: bool,
        is_dvr: bool,
    ) -> None:
        self.renditions: dict[str, Rendition] = {}
        self.lead: Rendition | None = None
        self.target_duration_s: int | None = None
        self.planned: set[str] = set()  # the renditions of this epoch, or of the last one
        self.has_uneven_keys = False  # of the publisher's pictures: then the first segment says nothing of the next
        self.epoch = -1
        self.epochs: list[Epoch] = []  # all that are known, oldest first; the first one stays
        self.dropped = 0
        self.gaps = 0
        self._on_change, self._on_segment, self._on_overlong = on_change, on_segment, on_overlong
        self._kept_s = WINDOW_S + (GRACE_S if has_storage else GRACE_WITHOUT_STORAGE_S)
        self._is_dvr = is_dvr
        self._joined: set[str] = set()
        self._waiting: dict[str, deque[Placed]] = {}
        self._cuts: deque[Cut] = deque(maxlen=2 * MAX_BEHIND)
        self._next_number = 0
        self._epoch_start = 0
        self._epoch_wall_ms = 0
        self._epoch_cuts = 1
        self._lead_end = 0
        self._is_lead_over = True
        self._last_key = 0
        self._longest_gop = 0

    # -- epochs -------------------------------------------------------------------------------------------------

    @property
    def end_ticks(self) -> int:
        """Where the session's clock stands: the end of the longest rendition, in CLOCK_HZ."""
        ends = [_end(r.segments[-1]) for r in self.renditions.values() if r.segments]
        return max([self._lead_end, *ends])

    @property
    def shown_pictures(self) -> set[str]:
        """The renditions of pictures that playlists have ever shown."""
        return {r.name for r in self.renditions.values() if r.name != AUDIO_RENDITION and r.segments}

    def restore(self, rows: Sequence[JournalRow]) -> None:
        """What an earlier process has stored. The next epoch continues behind it."""
        by_name: dict[str, list[JournalRow]] = {}
        for row in sorted(rows, key=lambda row: row.number):
            by_name.setdefault(row.rendition, []).append(row)
        # The lead's row tells best how long a number lasts; rows of the same number overwrite each other in this order.
        cuts = {row.number: row for row in sorted(rows, key=lambda row: row.rendition == "source")}
        cuts = dict(sorted(cuts.items()))
        self._next_number = max(cuts, default=-1) + 1
        self.epoch = max((row.epoch for row in rows), default=-1)
        if rows:
            first = cuts[min(cuts)]
            longest_s = max(row.duration_ticks / row.timescale for row in rows)
            self.target_duration_s = max(self._allowed(first.duration_ticks / first.timescale), int(longest_s + 0.5))
        for name, own in by_name.items():
            known = {row.number: row for row in own}
            rendition = self.renditions.setdefault(name, self._rendition(name))
            nearest = own[0]
            entries: list[Segment] = []
            for number in range(own[0].number, self._next_number):
                nearest = known.get(number) or cuts.get(number) or nearest
                entries.append(_restored(known.get(number), nearest, number))
            rendition.restore(entries)
            rendition.peak_bps = max(round(r.size_bytes * 8 * r.timescale / max(r.duration_ticks, 1)) for r in own)
            self.planned.add(name)
        for row in cuts.values():
            if not self.epochs or self.epochs[-1].number < row.epoch:
                start = round(row.start_ticks * CLOCK_HZ / row.timescale)
                self.epochs.append(Epoch(row.epoch, start, row.pdt_ms))
        self._lead_end = self.end_ticks

    def begin(self, tracks: Mapping[str, Track], lead: str, wall_ms: int, coming: Sequence[str] = ()) -> int:
        """A new epoch; its clock starts at the time that is returned (CLOCK_HZ), which was `wall_ms` on the wall.

        The tracks of renditions that are `coming` are told by `join`; the lead may be one of them. Raises BadTrack.
        """
        self.end()
        start = self.end_ticks
        if self._epoch_cuts or self.epoch < 0:  # the number of an epoch without a segment is taken again
            self.epoch += 1
        for name in (*tracks, *coming):
            self.renditions.setdefault(name, self._rendition(name))
        self.planned = {*tracks, *coming}
        self._joined = set()
        self._waiting = {name: deque() for name in self.planned if name != lead}
        self.lead = self.renditions[lead] if lead in self.planned else None
        self._epoch_start, self._epoch_wall_ms, self._epoch_cuts = start, wall_ms, 0
        self.epochs = [e for e in self.epochs if e.number < self.epoch] + [Epoch(self.epoch, start, wall_ms)]
        self._lead_end = self._last_key = start
        self._longest_gop = 0
        self._is_lead_over = False
        for name, track in tracks.items():
            self.join(name, track)
        return start

    def join(self, name: str, track: Track) -> None:
        """The track of a planned rendition is known: its samples may come. Raises BadTrack."""
        if name in self.planned:
            self.renditions[name].begin(self.epoch, track)
            self._joined.add(name)

    def _rendition(self, name: str) -> Rendition:
        return Rendition(name, self._on_change, self._on_segment)

    def end_lead(self) -> None:
        """The lead has no more samples in this epoch: what was waiting for it goes out at once."""
        if self._is_lead_over or self.lead is None:
            return
        self._is_lead_over = True
        if self.lead.open_segment is not None:
            self.lead.close()
            self._decide_target()
        for name in self._waiting:
            self._release(name)

    def end(self) -> None:
        """The epoch is over for every rendition; whoever is behind gets gaps."""
        self.end_lead()
        for rendition in self.renditions.values():
            rendition.close()
            self._fill(rendition, self._next_number)
        self._waiting = {}

    # -- samples ------------------------------------------------------------------------------------------------

    def add(self, name: str, sample: Placed) -> None:
        """A sample of a rendition of this epoch; one that is not of it, or comes too late, is dropped and counted."""
        if self.lead is not None and name == self.lead.name and name in self._joined and not self._is_lead_over:
            self._add_lead(self.lead, sample)
            return
        waiting = self._waiting.get(name)
        if waiting is None:
            self.dropped += 1
            return
        waiting.append(sample)
        if len(waiting) > MAX_WAITING:
            waiting.popleft()
            self.dropped += 1
        self._release(name)

    def _add_lead(self, lead: Rendition, sample: Placed) -> None:
        assert lead.info is not None
        scale = CLOCK_HZ / lead.info.timescale
        start, end = round(sample.time * scale), round((sample.time + sample.duration) * scale)
        if sample.is_key:
            self._longest_gop = max(self._longest_gop, start - self._last_key)
            self._last_key = start
        if start - self._lead_end > MAX_STEP and lead.open_segment is not None:
            self._bridge(lead, start)
        segment = lead.open_segment
        is_sound = lead.info.kind == "audio"
        if segment is None or (sample.is_key and self._is_time_to_cut(start, end - start, is_sound=is_sound)):
            self._cut(lead, start)
        elif end - self._cuts[-1].start > self._longest_segment() or segment.size_bytes > MAX_OPEN_SEGMENT_BYTES:
            self._cut(lead, start)
            self._on_overlong()
        lead.add(sample)
        self._lead_end = end
        for name in self._waiting:
            self._release(name)

    def _is_time_to_cut(self, start: int, duration: int, *, is_sound: bool) -> bool:
        """At this key frame, or is there time until the next one?"""
        length = start - self._cuts[-1].start
        early = duration / 2 if is_sound else _EARLY_S * CLOCK_HZ
        if length >= (FIRST_SEGMENT_S if self.target_duration_s is None else SEGMENT_TARGET_S) * CLOCK_HZ - early:
            return True
        # Before the target is chosen, short segments are hoped for: they make it small.
        limit = ((self.target_duration_s or TARGET_DURATIONS_S[0]) + _ROUNDING_S) * CLOCK_HZ
        return not is_sound and length + self._longest_gop > limit

    def _longest_segment(self) -> float:
        return ((self.target_duration_s or TARGET_DURATIONS_S[-1]) + _ROUNDING_S) * CLOCK_HZ

    def _cut(self, lead: Rendition, start: int) -> None:
        lead.close()
        self._decide_target()
        lead.open(self._next_cut(lead, start))

    def _bridge(self, lead: Rendition, start: int) -> None:
        """The lead has a hole (its encoder was too slow): gaps, so that the others have segments of allowed lengths."""
        lead.close()
        self._decide_target()
        target = int(SEGMENT_TARGET_S * CLOCK_HZ)
        while (left := start - self._lead_end) > 0:
            length = target if left > target + MAX_STEP else min(left, int(self._longest_segment()))
            lead.skip(self._next_cut(lead, self._lead_end), length)
            self.gaps += 1
            self._lead_end += length
            for name in self._waiting:
                self._release(name)

    def _next_cut(self, lead: Rendition, start: int) -> Cut:
        cut = Cut(
            number=self._next_number,
            epoch=self.epoch,
            start=start,
            pdt_ms=self._epoch_wall_ms + (start - self._epoch_start) * 1000 // CLOCK_HZ,
            is_discontinuity=self.epoch > 0 and self._epoch_cuts == 0,
        )
        self._next_number += 1
        self._epoch_cuts += 1
        self._cuts.append(cut)
        self._fill(lead, cut.number)
        for name, rendition in self.renditions.items():
            is_lost = rendition.next_number is not None and cut.number - rendition.next_number > MAX_BEHIND
            if rendition is not lead and (is_lost or name not in self.planned):
                self._fill(rendition, cut.number)
        self._forget()
        return cut

    def _decide_target(self) -> None:
        if self.target_duration_s is None and self.lead is not None and self.lead.segments:
            first_s = TARGET_DURATIONS_S[-1] if self.has_uneven_keys else self.lead.segments[-1].duration_s
            self.target_duration_s = self._allowed(first_s)

    @staticmethod
    def _allowed(duration_s: float) -> int:
        low, high = TARGET_DURATIONS_S
        return max(low, min(high, int(duration_s + _SOUND_MARGIN_S + 0.5)))

    def _release(self, name: str) -> None:
        """Samples whose middle the lead has passed go to the segment that they lie in."""
        rendition, waiting = self.renditions[name], self._waiting[name]
        if name not in self._joined:
            return
        assert rendition.info is not None
        scale = CLOCK_HZ / rendition.info.timescale
        while waiting:
            middle = (waiting[0].time + waiting[0].duration / 2) * scale
            if middle >= self._lead_end:
                if not self._is_lead_over:
                    return
                waiting.popleft()  # there are no pictures to it
                self.dropped += 1
                continue
            self._place(rendition, waiting.popleft(), middle)

    def _place(self, rendition: Rendition, sample: Placed, middle: float) -> None:
        current = rendition.open_segment
        newest = self._cuts[-1] if self._cuts else None
        if newest is not None and current is not None and current.number == newest.number and newest.start <= middle:
            rendition.add(sample)  # nearly always: it goes where the one before it went
            return
        cut = next((c for c in reversed(self._cuts) if c.start <= middle and c.epoch == self.epoch), None)
        if cut is None:
            self.dropped += 1
            return
        if current is None or cut.number > current.number:
            is_past = rendition.next_number is not None and cut.number < rendition.next_number
            if is_past or not sample.is_key:
                self.dropped += 1
                return
            self._fill(rendition, cut.number)
            rendition.open(cut)
        rendition.add(sample)

    def _fill(self, rendition: Rendition, number: int) -> None:
        """Gaps for every number below `number` that the rendition has passed over."""
        if rendition.next_number is None or rendition.next_number >= number:
            return
        rendition.close()
        starts = {cut.number: cut for cut in self._cuts}
        while rendition.next_number < number:
            cut = starts.get(rendition.next_number)
            if cut is None:  # it fell out of our sight: only its length is unknown
                cut = Cut(rendition.next_number, self.epoch, _end(rendition.segments[-1]), 0, is_discontinuity=False)
            following = starts.get(cut.number + 1)
            end = following.start if following else max(self._lead_end, cut.start + 1)
            rendition.skip(cut, min(end - cut.start, int(self._longest_segment())))
            self.gaps += 1

    # -- memory -------------------------------------------------------------------------------------------------

    @property
    def held_bytes(self) -> int:
        return sum(r.held_bytes for r in self.renditions.values())

    def _forget(self) -> None:
        for rendition in self.renditions.values():
            length_s = 0.0
            for segment in reversed(rendition.segments):
                length_s += segment.duration_s
                if length_s > self._kept_s:
                    if self._is_dvr:
                        rendition.release_before(segment.number)
                    else:
                        rendition.forget_before(segment.number)
                    break
        oldest = min((r.segments[0].epoch for r in self.renditions.values() if r.segments), default=0)
        self.epochs = [e for e in self.epochs if e.number >= oldest or e is self.epochs[0]]
        while self.held_bytes > MAX_MEMORY_BYTES:
            largest = max(self.renditions.values(), key=lambda r: r.held_bytes)
            if not largest.release_oldest():
                return


def _end(segment: Segment) -> int:
    return round((segment.start + segment.duration) * CLOCK_HZ / segment.timescale)


def _restored(row: JournalRow | None, nearest: JournalRow, number: int) -> Segment:
    """The entry of a stored segment, or a gap as long as the same number (or the one before) lasts elsewhere."""
    found = row or nearest
    return Segment(
        number=number,
        epoch=found.epoch,
        start=found.start_ticks,
        duration=found.duration_ticks,
        timescale=found.timescale,
        pdt_ms=found.pdt_ms,
        is_discontinuity=found.is_discontinuity and found.number == number,
        is_done=True,
        is_gap=row is None,
        size_bytes=row.size_bytes if row else 0,
    )
