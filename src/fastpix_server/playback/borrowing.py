"""Segments of a cut media that another media has made already: the same frames, with the same settings, at other times.

What was not touched by an edit is not encoded again: the stored segment is read, its times are rewritten, and it is
stored as the media's own. Invariants: a borrowed segment holds exactly the planned frames; the lender is not needed any
more afterwards, and when it is gone the segment is made as any other.
"""

from fastpix_server.engine import fragments
from fastpix_server.engine.edit import Lender
from fastpix_server.engine.fragments import FragmentError
from fastpix_server.engine.plan import Plan
from fastpix_server.playback.model import Target
from fastpix_server.playback.shop import Shop, made_total
from fastpix_server.storage.port import ObjectMissing


async def borrow(shop: Shop, target: Target, rendition: str, k: int) -> bool:
    """True once segment `k` is stored, from the lender; False when it has to be encoded."""
    lender = target.plan.edit.lender if target.plan.edit else None
    if lender is None or rendition not in lender.renditions:
        return False
    position = lent(target.plan, lender, k)
    if position is None:
        return False
    try:
        segment = _retimed(target.plan, k, await shop.objects.get(f"{lender.place}/{rendition}/{position}.m4s"))
    except (ObjectMissing, FragmentError):
        return False
    await shop.put(target.id, target.segment_key(rendition, k), segment)
    made_total.labels("video", "borrowed").inc()
    return True


def lent(plan: Plan, lender: Lender, k: int) -> int | None:
    """The lender's segment with just the frames of segment `k`."""
    if plan.piece_at(k).file != 0:
        return None
    timeline = plan.timeline
    first = round(plan.file_s(k) * timeline.fps)
    end = first + timeline.cuts[k + 1] - timeline.cuts[k]
    try:
        position = lender.cuts.index(first)
    except ValueError:
        return None
    return position if position + 1 < len(lender.cuts) and lender.cuts[position + 1] == end else None


def _retimed(plan: Plan, k: int, segment: bytes) -> bytes:
    timeline = plan.timeline
    return fragments.video_segment(
        fragments.fragment_of(segment),
        index=k,
        frames=timeline.cuts[k + 1] - timeline.cuts[k],
        frame_ticks=timeline.frame_ticks,
        decode_time=timeline.cuts[k] * timeline.frame_ticks,
    )
