"""Takes a publisher's repaired samples and makes all renditions of them: copies at once, encoded ones through a child.

Invariants: there is at most one child per session, and it belongs to the running epoch; when it dies the epoch ends
for every rendition (a discontinuity) and the next one has a new child, until it has died too often: then the session
goes on with what needs no encoder, or not at all.
"""

import asyncio
from collections.abc import Callable

from fastpix_server.base import log
from fastpix_server.ingest.model import CLOCK_HZ, Track
from fastpix_server.live import ladder
from fastpix_server.live.model import AUDIO_RENDITION, SOURCE_RENDITION
from fastpix_server.live.packager.codecs import BadTrack, timescale_of
from fastpix_server.live.packager.package import Package
from fastpix_server.live.packager.segments import Placed
from fastpix_server.live.transcoder import Transcoder, restarts_allowed

_log = log.get(__name__)

MAX_FAILURES_KEPT = 16


class Stage:
    """A `Taker` over a whole session. `on_broken` asks for the end of the epoch (the next begins at a key frame),
    `on_overlong` for another epoch right here, `on_hopeless` says that nothing can be made of this publisher."""

    def __init__(
        self,
        package: Package,
        *,
        max_lines: int,
        session: str,
        on_broken: Callable[[], None],
        on_overlong: Callable[[], None],
        on_hopeless: Callable[[str], None],
    ) -> None:
        self.package = package
        self.scheme: ladder.Scheme | None = None
        self.skipped_segments = 0
        self.unmatched_pictures = 0
        self._max_lines, self._session = max_lines, session
        self._on_broken, self._on_overlong, self._on_hopeless = on_broken, on_overlong, on_hopeless
        self._transcoder: Transcoder | None = None
        self._failures_s: list[float] = []
        self._must_encode = False
        self._reorder = 0
        self._audio_rate_hz = 0
        self._last_cut: int | None = None

    # -- Taker --------------------------------------------------------------------------------------------------

    def begin(self, video: Track | None, audio: Track | None, wall_ms: int, reorder: int, warm_ticks: int) -> int:
        self._drop_transcoder()
        can_encode = restarts_allowed(self._failures_s, asyncio.get_running_loop().time())
        scheme = ladder.scheme(
            video,
            audio,
            max_lines=self._max_lines,
            must_encode=self._must_encode,
            can_encode=can_encode,
            shown=self.package.shown_pictures,
        )
        if scheme is None:
            self._on_hopeless("it needs an encoder, and that fails")
            scheme = ladder.Scheme((), (), False, False)
        self.scheme = scheme
        self._reorder, self._last_cut = reorder, None
        self._audio_rate_hz = timescale_of(audio) if audio else 0
        tracks: dict[str, Track] = {}
        if video is not None:
            tracks |= dict.fromkeys(scheme.copies, video)
        if audio is not None and not scheme.encodes_sound and audio.codec == "aac":
            tracks[AUDIO_RENDITION] = audio
        coming = [r.name for r in scheme.rungs] + ([AUDIO_RENDITION] if scheme.encodes_sound else [])
        lead = SOURCE_RENDITION if SOURCE_RENDITION in tracks else [*coming, AUDIO_RENDITION][0]
        start = self.package.begin(tracks, lead, wall_ms, coming)
        if scheme.needs_encoder:
            keys_from_s = (warm_ticks + reorder) / CLOCK_HZ
            self._start_transcoder(scheme, video, audio, start, keys_from_s)
        return start

    def warm_up(self, sample: Placed) -> None:
        if self._transcoder is not None:
            self._transcoder.picture(sample, reorder=self._reorder, may_skip=False)

    def picture(self, sample: Placed) -> None:
        scheme = self.scheme
        assert scheme is not None
        is_cut = sample.is_key
        if scheme.is_copied:
            for name in scheme.copies:
                self.package.add(name, sample)
            number = self.package.lead.next_number if self.package.lead else None
            is_cut, self._last_cut = number != self._last_cut, number
        if self._transcoder is not None:
            self._transcoder.picture(sample, reorder=self._reorder, may_skip=is_cut)

    def sound(self, sample: Placed) -> None:
        assert self.scheme is not None
        if not self.scheme.encodes_sound:
            self.package.add(AUDIO_RENDITION, sample)
        elif self._transcoder is not None:
            self._transcoder.sound(sample, rate_hz=self._audio_rate_hz)

    def end(self) -> None:
        """The epoch is over: what is here goes out at once, what is in the child when it comes."""
        if self._transcoder is None:
            self.package.end()
            return
        if self.scheme is not None and self.scheme.is_copied:
            self.package.end_lead()
        self._transcoder.finish()

    # -- the child ----------------------------------------------------------------------------------------------

    def encode_source(self) -> None:
        """From here on the source's own pictures are not copied: they cannot be cut into segments."""
        is_copied = self.scheme is not None and self.scheme.is_copied
        if is_copied and restarts_allowed(self._failures_s, asyncio.get_running_loop().time()):
            self._must_encode = True
            self._on_overlong()

    @property
    def lag_s(self) -> float:
        return self._transcoder.lag_s if self._transcoder else 0.0

    @property
    def failures(self) -> int:
        return len(self._failures_s)

    def _start_transcoder(
        self, scheme: ladder.Scheme, video: Track | None, audio: Track | None, start: int, keys_from_s: float
    ) -> None:
        transcoder: Transcoder

        def on_tracks(tracks: dict[str, Track]) -> None:
            try:
                for name, track in tracks.items():
                    self.package.join(name, track)
            except BadTrack as bad:
                self._failed(transcoder, str(bad))

        def on_done(reason: str) -> None:
            self._failed(transcoder, reason) if reason else self._finished(transcoder)

        transcoder = self._transcoder = Transcoder(
            scheme,
            video,
            audio,
            start=start,
            keys_from_s=keys_from_s,
            on_tracks=on_tracks,
            on_sample=self.package.add,
            on_done=on_done,
        )

    def _finished(self, transcoder: Transcoder) -> None:
        if self._transcoder is transcoder:
            self._drop_transcoder()
            self.package.end()

    def _failed(self, transcoder: Transcoder, reason: str) -> None:
        if self._transcoder is not transcoder:
            return
        _log.warning("live_transcoder_failed", session=self._session, reason=reason)
        self._failures_s = [*self._failures_s, asyncio.get_running_loop().time()][-MAX_FAILURES_KEPT:]
        self._drop_transcoder()
        self.package.end()
        self._on_broken()

    def _drop_transcoder(self) -> None:
        if self._transcoder is not None:
            self.skipped_segments += self._transcoder.skipped_segments
            self.unmatched_pictures += self._transcoder.unmatched
            self._transcoder.abandon()
            self._transcoder = None

    async def close(self) -> None:
        transcoder, self._transcoder = self._transcoder, None
        if transcoder is not None:
            await transcoder.close()
