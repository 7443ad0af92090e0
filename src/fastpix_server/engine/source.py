"""Facts about a source file, as plain data. probe.py fills them in; everything after reads only these."""

import dataclasses
from fractions import Fraction


@dataclasses.dataclass(frozen=True, slots=True)
class VideoFacts:
    """One video stream. Times are presentation seconds on the source's timeline, whose zero is `Source.start_s`."""

    stream_index: int  # ffmpeg's absolute stream index, for -map 0:<index>
    codec: str  # ffmpeg's name: h264, hevc, vp9, prores ...
    width: int  # coded, before rotation and sample aspect ratio
    height: int
    display_width: int  # after sample aspect ratio and rotation: what a viewer sees
    display_height: int
    rotation_deg: int  # 0, 90, 180, 270: clockwise turn that a player applies
    fps: Fraction  # the constant-rate grid that we publish on; 60 at most
    is_vfr: bool
    frames: int  # frames on that grid from time 0 to the end of the video
    pix_fmt: str
    bit_depth: int
    transfer: str  # ffmpeg's color_transfer, "" when unknown; smpte2084 and arib-std-b67 mean HDR
    is_interlaced: bool
    bitrate_bps: int  # 0 when unknown
    keyframes_s: tuple[float, ...] | None  # sorted presentation times from time 0, None when no index was read

    @property
    def is_hdr(self) -> bool:
        return self.transfer in ("smpte2084", "arib-std-b67")


@dataclasses.dataclass(frozen=True, slots=True)
class AudioFacts:
    stream_index: int
    codec: str  # aac, mp3, opus, pcm_s16le ...
    profile: str  # "LC" for AAC-LC, "" when unknown
    channels: int
    sample_rate_hz: int
    language: str  # BCP-47 or ISO 639 as the file says it; "und" when it does not
    title: str  # "" when the file has none
    bitrate_bps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    container: str  # short name as the API says it: mp4, mov, mkv, webm, ts, avi, mp3, wav ...
    has_sample_index: bool  # an MP4/MOV whose sample tables were read: exact seeks, copy rung
    duration_s: float
    start_s: float  # ffmpeg's format start_time: timeline zero in the file's own clock
    size_bytes: int
    video: VideoFacts | None
    audios: tuple[AudioFacts, ...]  # in file order, the default stream first

    @property
    def is_audio_only(self) -> bool:
        return self.video is None
