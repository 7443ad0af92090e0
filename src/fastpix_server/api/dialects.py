"""Answers for clients of older API generations (contract section 0).

Handlers always answer the current generation (3). For a client that announces an older one, two fields of media are
rewritten on the way out: `duration` becomes `HH:MM:SS`, and for generation 1 `mp4Support` becomes one string.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from fastpix_server.api.answers import encode

CURRENT = 3
HEADER = "x-fastpix-api-generation"  # a request's own choice, for validators that send no SDK's User-Agent

_AGENT = re.compile(r"(fastpix-sdk|speakeasy-sdk)/([a-z]+)(?: (\d+)\.(\d+)(?:\.(\d+))?)?")


def generation_of(headers: Mapping[str, str], setting: str) -> int:
    """The header wins, then the setting unless it is `auto`, then what the User-Agent is known to expect."""
    chosen = headers.get(HEADER, "")
    if chosen in ("1", "2", "3"):
        return int(chosen)
    if setting in ("1", "2", "3"):
        return int(setting)
    return generation_of_agent(headers.get("user-agent", ""))


def generation_of_agent(agent: str) -> int:
    found = _AGENT.match(agent)
    if found is None:
        return CURRENT
    sdk, language = found.group(1), found.group(2)
    version = tuple(int(part or 0) for part in found.group(3, 4, 5))
    if sdk == "speakeasy-sdk":
        return 1 if language in ("php", "ruby") else CURRENT
    if language == "python":
        return 1 if version < (1, 1, 4) else 2 if version < (1, 2, 0) else CURRENT
    first_current = {"typescript": (2, 1, 0), "csharp": (1, 2, 0)}
    if language in first_current:
        return 1 if version < first_current[language] else CURRENT
    return {"go": 1, "java": 2}.get(language, CURRENT)


def rewrite(body: bytes, generation: int) -> bytes:
    """The same answer as `generation` spells it; bytes of the current one come back untouched."""
    if generation >= CURRENT:
        return body
    answer = msgspec.json.decode(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, dict):
            _downgrade(item, generation)
            for member in item.get("mediaList") or ():
                _downgrade(member, generation)
    return encode(answer)


def _downgrade(media: dict[str, Any], generation: int) -> None:
    if isinstance(media.get("duration"), int | float):
        media["duration"] = clock_time(media["duration"])
    if generation == 1 and isinstance(media.get("mp4Support"), list):
        kinds = sorted({entry["type"] for entry in media["mp4Support"]})
        media["mp4Support"] = ",".join(kinds)


def clock_time(duration_s: float) -> str:
    """`00:03:03` for 183.5: whole seconds, as the older service wrote them."""
    seconds = int(duration_s)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
