"""What every ingest protocol turns its bytes into, and how it asks to be let in.

Invariants: whatever the protocol, samples of one publication have the same form: H.264 and HEVC in length-prefixed NAL
units (four bytes) with their parameter sets in the track's configuration, AV1 without temporal delimiters, AAC as raw
frames, Opus as packets. Times count 1/90,000 s on the publisher's own clock, unwrapped (they may jump; readers repair).
Nothing here awaits: a sink takes what it is given at once and drops what it cannot hold.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol

CLOCK_HZ = 90_000

Kind = Literal["video", "audio"]
Codec = Literal["h264", "hevc", "av1", "aac", "opus"]
ProtocolName = Literal["rtmp", "rtmps", "srt", "whip"]


@dataclasses.dataclass(frozen=True, slots=True)
class Track:
    """What is needed to decode a track.

    `config` is the body of avcC, hvcC, av1C, the AudioSpecificConfig, or the body of dOps. `width` and `height` are as
    coded (0 for audio); `sample_rate_hz` and `channels` are 0 for video.
    """

    codec: Codec
    config: bytes
    width: int = 0
    height: int = 0
    sample_rate_hz: int = 0
    channels: int = 0

    @property
    def kind(self) -> Kind:
        return "audio" if self.codec in ("aac", "opus") else "video"


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One picture, or one frame of sound. `dts` and `cts` (presentation minus decoding time) count CLOCK_HZ."""

    kind: Kind
    dts: int
    cts: int
    is_key: bool
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class PublishRequest:
    """Who wants to publish. `peer` is an address for logs and limits. A protocol that has checked the stream's secret
    itself (SRT, by its encryption) says so."""

    protocol: ProtocolName
    stream_key: str
    peer: str
    is_secret_proven: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Why a publisher may not come in; each protocol says it in its own way."""

    reason: Literal["unknown_key", "disabled", "already_publishing", "busy", "unavailable"]


class Publisher(Protocol):
    """The connection of a publisher that was let in, as the platform sees it.

    `has_keys_on_demand`: its key frames come when they are asked for, some time later, and not at equal distances.
    """

    has_keys_on_demand: bool

    def ask_for_key_frame(self) -> None:
        """Soon, if it can be asked for one; does nothing where the protocol has no word for it."""

    def kick(self, reason: str) -> None:
        """Ends the connection soon; the sink still hears `on_end` once."""

    def stats(self) -> Mapping[str, float]:
        """What the transport knows of itself: `received_bytes` always; SRT adds `rtt_ms`, `lost_packets`,
        `dropped_packets`, `retransmitted_packets`; WHIP `lost_packets`, `jitter_ms`."""


class Sink(Protocol):
    """Where a publication's tracks and samples go. Called on the event loop, in the order of arrival."""

    def on_track(self, track: Track) -> None:
        """A track begins, or goes on with another configuration."""

    def on_sample(self, sample: Sample) -> None:
        """Never before the `on_track` of its kind."""

    def on_end(self, reason: str) -> None:
        """Exactly once; nothing follows. `reason` is a word for logs: `unpublish`, `eof`, `idle`, `kicked`, ..."""


class Door(Protocol):
    """Decides who may publish. One per ingest process."""

    async def __call__(self, request: PublishRequest, publisher: Publisher) -> Sink | Refused: ...


@dataclasses.dataclass(frozen=True, slots=True)
class SrtKey:
    """What the SRT listener must know before it can shake hands: it cannot wait for a database there."""

    mode: Literal["publish", "play"]
    stream_key: str  # for `play`: the stream's id
    passphrase: str = dataclasses.field(repr=False)


class SrtKeys(Protocol):
    """Looked up from libsrt's own thread: an in-memory table, no lock held longer than a dict access."""

    def find(self, stream_id: str) -> SrtKey | Refused:
        """`stream_id` is the text the caller sent in the handshake."""
