"""Every type of event that may be told: the names of contract section 4, and ours beyond it.

Invariant: docs/reference/events.md lists exactly these, and says which are told already (a test compares).
"""

_MEDIA = (
    "video.media.created",
    "video.media.ready",
    "video.media.failed",
    "video.media.updated",
    "video.media.deleted",
    "video.media.upload",
    "video.media.upload.cancelled",
    "video.upload.media_created",
    "video.media.live_stream.created",
    "video.media.live_stream.ready",
    "video.media.live_clip.created",
    "video.media.live_clip.ready",
)
_TRACKS = (
    "video.media.track.created",
    "video.media.track.ready",
    "video.media.track.failed",
    "video.media.track.updated",
    "video.media.track.deleted",
    "video.media.subtitle.generated.ready",
)
_TRANSFORMS = (
    "video.media.intro.ready",
    "video.media.outro.ready",
    "video.media.watermark.ready",
    "video.media.expungeSegments.ready",
    "video.media.segments.ready",
    "video.media.imposeTracks.ready",
    "video.media.swapTrack.ready",
    "video.media.optimizeAudio.ready",
    "video.media.mp4Support.ready",
    "video.media.source.ready",
    "video.media.source.deleted",
)
_AI = (
    "video.mediaAI.summary.ready",
    "video.mediaAI.chapters.ready",
    "video.mediaAI.named-entities.ready",
    "video.mediaAI.moderation.ready",
)
_LIVE = (
    "video.live_stream.created",
    "video.live_stream.connected",
    "video.live_stream.preparing",
    "video.live_stream.recording",
    "video.live_stream.active",
    "video.live_stream.disconnected",
    "video.live_stream.idle",
    "video.live_stream.updated",
    "video.live_stream.disabled",
    "video.live_stream.enabled",
    "video.live_stream.deleted",
    "video.live_stream.simulcast_target.created",
    "video.live_stream.simulcast_target.starting",
    "video.live_stream.simulcast_target.broadcasting",
    "video.live_stream.simulcast_target.updated",
    "video.live_stream.simulcast_target.deleted",
)
_OURS = (
    "video.data.alert.triggered",
    "video.data.alert.resolved",
    "video.webhook.test",
    "video.webhook.disabled",
)

TYPES = frozenset((*_MEDIA, *_TRACKS, *_TRANSFORMS, *_AI, *_LIVE, *_OURS))
