"""Makes what ids of the policy drm show: stored clear things, encrypted and stored beside them.

Invariant: what is stored under an encrypted key was encrypted; the clear bytes stay in this process and its child.
"""

from fastpix_server.base import errors
from fastpix_server.base.errors import ServiceFault
from fastpix_server.engine.plan import VideoRendition
from fastpix_server.engine.protect import protect_segment, protected_init
from fastpix_server.playback import content_keys
from fastpix_server.playback.artifacts import InitOf, Protected
from fastpix_server.playback.model import Target
from fastpix_server.playback.shop import Shop, made_total
from fastpix_server.storage.port import ObjectMissing


async def protect(shop: Shop, target: Target, artifact: Protected) -> None:
    """Whoever asked saw to it that the clear thing is stored. Raises ServiceFault when it is not any more."""
    name = artifact.clear.rendition
    rendition = target.plan.rendition(name)
    if rendition is None:
        raise ServiceFault("no_rendition", "There is no such rendition.")
    try:
        async with shop.db.unit() as tx:
            # Whatever an id shows opens by one licence: the sounds that were added have the key of their media.
            key = await content_keys.get(tx, target.part_of or target.id)
    except errors.NotFound as gone:
        raise ServiceFault("no_content_key", gone.description) from gone
    _, init = await _read(shop, InitOf(name).keys(target))
    if isinstance(artifact.clear, InitOf):
        made_total.labels("protected", "viewer").inc()
        await shop.put(target.id, artifact.keys(target)[0], protected_init(init, key))
        return
    clear_key, segment = await _read(shop, artifact.clear.keys(target))
    kind = "video" if isinstance(rendition, VideoRendition) else "audio"
    made = await protect_segment(init, segment, kind, key)  # type: ignore[arg-type]
    made_total.labels("protected", "viewer").inc()
    await shop.put(target.id, artifact.key_of(target, clear_key), made)


async def _read(shop: Shop, keys: tuple[str, ...]) -> tuple[str, bytes]:
    """The best version that is there, and its key."""
    # Twice: the final version may replace the quick one between two looks.
    for key in (*keys, keys[0]):
        try:
            return key, await shop.objects.get(key)
        except ObjectMissing:
            continue
    raise ServiceFault("clear_missing", "What was to be encrypted went away; try again.")
