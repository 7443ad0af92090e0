"""How good a view was: five scores between 0 and 1, as SQL over the columns of views/schema.py (contract 9.3).

Invariants: a view that has shown no first frame has no startup, stability and render score; one that failed scores 0
in playback and over all, whatever it showed before; one that was left before its first frame has no score at all.
Sources, weights and what is our choice: docs/decisions/0037-scores.md.
"""

from collections.abc import Mapping

from fastpix_server.views.schema import Derived

# Half the score is gone after 8 s: exact on captured answers (987 ms gives 0.8901746967842439).
STARTUP_HALF_MS = 8000
# Two rebufferings cost as much as 3.5 % of the time spent waiting.
BUFFER_COUNT_SCALE = 2
BUFFER_RATIO_STEEPNESS = 10
# Blur is felt on average more than at its worst moment.
UPSCALING_STEEPNESS = 0.33
MAX_UPSCALING_WEIGHT = 0.15
AVG_UPSCALING_WEIGHT = 0.85
# The third is solved from captured answers; the split of the other two is ours.
STABILITY_WEIGHT = 0.45
RENDER_WEIGHT = 0.275
STARTUP_WEIGHT = 0.275

PLAYED = "ifNull(has_played, false)"

_STARTUP = (
    f"if({PLAYED} AND isNotNull(video_startup_time),"
    f" {STARTUP_HALF_MS} / ({STARTUP_HALF_MS} + greatest(video_startup_time, 0)), NULL)"
)
_STABILITY = (
    f"if({PLAYED}, (1 / sqrt(1 + pow(greatest(ifNull(buffer_count, 0), 0) / {BUFFER_COUNT_SCALE}, 2))"
    f" + exp(-{BUFFER_RATIO_STEEPNESS} * greatest(ifNull(buffer_ratio, 0), 0))) / 2, NULL)"
)
_RENDER = (
    f"if({PLAYED}, exp(-{UPSCALING_STEEPNESS} * ({MAX_UPSCALING_WEIGHT} * greatest(ifNull(max_upscaling, 0), 0)"
    f" + {AVG_UPSCALING_WEIGHT} * greatest(ifNull(avg_upscaling, 0), 0))), NULL)"
)
_PLAYBACK = f"multiIf(playback_failed, 0., {PLAYED}, 1., NULL)"
# A player that does not measure its startup is judged by the rest.
_WEIGHED = f"{STABILITY_WEIGHT} * stability_score + {RENDER_WEIGHT} * render_quality_score"
_OVERALL = (
    f"multiIf(playback_failed, 0., NOT {PLAYED}, NULL,"
    f" isNull(startup_score), ({_WEIGHED}) / {STABILITY_WEIGHT + RENDER_WEIGHT},"
    f" {_WEIGHED} + {STARTUP_WEIGHT} * startup_score)"
)

SCORES: Mapping[str, Derived] = {
    one.name: one
    for one in (
        Derived("startup_score", _STARTUP, ("has_played", "video_startup_time")),
        Derived("stability_score", _STABILITY, ("has_played", "buffer_count", "buffer_ratio")),
        Derived("render_quality_score", _RENDER, ("has_played", "max_upscaling", "avg_upscaling")),
        Derived("playback_score", _PLAYBACK, ("has_played", "playback_failed")),
        Derived(
            "quality_of_experience_score",
            _OVERALL,
            ("has_played", "playback_failed", "startup_score", "stability_score", "render_quality_score"),
        ),
    )
}
