"""Init segments before anything is encoded: SPS and PPS depend on the settings, not on the pictures.

Eight black frames (or some silence) with the same settings give the byte-identical header (tests/media proves it).
Cached per settings in the process: a platform has few ladders and many media.
"""

from collections import OrderedDict

from fastpix_server.base.errors import ServiceFault
from fastpix_server.engine import command, command_audio, fragments
from fastpix_server.engine.plan import AudioRendition, Plan, VideoRendition
from fastpix_server.engine.run import started
from fastpix_server.engine.sandbox import Limits

MAX_CACHED = 512  # about 1 KB each; ladders x frame rates x aspect ratios of a busy platform
LIMITS = Limits(cpu_s=30, wall_s=30.0)

_cache: OrderedDict[tuple[str, ...], bytes] = OrderedDict()


async def make_init(plan: Plan, rendition: VideoRendition | AudioRendition) -> bytes:
    """ftyp + moov of an encoded rendition. Raises ServiceFault when the encoder gives none.

    The same bytes for the same settings, from any process of any machine with the same ffmpeg.
    """
    assert rendition.kind == "encode", "a copied rendition has the header of its source"
    if isinstance(rendition, VideoRendition):
        argv = command.black_command(plan.timeline, [rendition], command.INIT_FRAMES)
    else:
        argv = command_audio.silence_command(rendition, plan.timeline.audio_rate_hz)
    key = tuple(argv)
    init = _cache.get(key) or await _first_boxes(argv)
    _cache[key] = init
    _cache.move_to_end(key)
    while len(_cache) > MAX_CACHED:
        _cache.popitem(last=False)
    return init


async def _first_boxes(argv: list[str]) -> bytes:
    async with started(argv, limits=LIMITS, outputs=1) as process:
        init = await fragments.read_init(process.outputs[0])
        finished = await process.finish()
    if not finished.is_ok or not init:
        raise ServiceFault("init_failed", "The encoder made no init segment.")
    return init
