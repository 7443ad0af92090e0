"""What a User-Agent says: browser, system, device.

Invariants: names follow one vocabulary, whatever the parser calls things; at most CACHE_MAX results are cached.
The parser's tables take 32 MB, so they are loaded with the first beacon, not at start.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastpix_server.views.beacon import WORD_MAX_CHARS

if TYPE_CHECKING:
    from ua_parser import Result

CACHE_MAX = 10_000
# Longer ones are no browser's; matching costs time by length.
USER_AGENT_MAX_CHARS = 1024

_BROWSERS = {"Chrome Mobile": "Chrome", "Mobile Safari": "Safari", "Firefox Mobile": "Firefox", "Edge Mobile": "Edge"}
_SYSTEMS = {"Mac OS X": "MacOS", "Web0S": "webOS"}
_TV_SYSTEMS = frozenset({"Tizen", "webOS", "Roku", "tvOS", "ATV OS X", "Chromecast", "FireOS TV"})
_TV_WORDS = (
    "smart-tv",
    "smarttv",
    "smart tv",
    "appletv",
    "apple tv",
    "roku",
    "hbbtv",
    "googletv",
    "bravia",
    "aft",
    "crkey",
)
_CONSOLE_WORDS = ("playstation", "xbox", "nintendo")
_TABLET_WORDS = ("ipad", "tablet", "kindle", "silk/")
_DESKTOP_SYSTEMS = frozenset({"Windows", "MacOS", "Linux", "Ubuntu", "Chrome OS", "Fedora", "FreeBSD", "Debian"})
_ENGINES = (("Gecko/", "Gecko"), ("Chrome/", "Blink"), ("AppleWebKit/", "WebKit"))


@functools.cache
def load() -> None:
    """Takes a second; call it once in a thread before the first `describe`."""
    describe("")
    _parse("Mozilla/5.0")


@functools.lru_cache(CACHE_MAX)
def describe(user_agent: str) -> Mapping[str, str]:
    """Columns of the view, without those that are not known. A blank agent says nothing."""
    if not user_agent:
        return {}
    found = _parse(user_agent)
    browser, system, device = found.user_agent, found.os, found.device
    browser_name = _BROWSERS.get(browser.family, browser.family) if browser else ""
    os_name = _SYSTEMS.get(system.family, system.family) if system else ""
    columns = {
        "detected_browser_name": browser_name,
        "detected_browser_version": f"{browser_name} {browser.major}" if browser and browser.major else browser_name,
        "detected_os_name": os_name,
        "detected_os_version": " ".join(filter(None, (os_name, _version(system)))),
        "detected_device_name": (device.brand or device.family or "") if device else "",
        "detected_device_model": (device.model or "") if device else "",
        "detected_device_manufacturer": (device.brand or "") if device else "",
        "detected_device_type": _device_type(user_agent.lower(), os_name),
        "browser_engine": next((name for mark, name in _ENGINES if mark in user_agent), ""),
    }
    return {name: text[:WORD_MAX_CHARS] for name, text in columns.items() if text}


def _parse(user_agent: str) -> "Result":
    import ua_parser

    return ua_parser.parse(user_agent)


def _version(system: object) -> str:
    parts = (getattr(system, name, None) for name in ("major", "minor", "patch"))
    known: list[str] = []
    for part in parts:
        if part is None:
            break
        known.append(str(part))
    return ".".join(known)


def _device_type(agent: str, os_name: str) -> str:
    if os_name in _TV_SYSTEMS or any(word in agent for word in _TV_WORDS):
        return "TV"
    if any(word in agent for word in _CONSOLE_WORDS):
        return "Console"
    # An Android that is no phone leaves "Mobile" out.
    if any(word in agent for word in _TABLET_WORDS) or (os_name == "Android" and "mobile" not in agent):
        return "Tablet"
    if "mobi" in agent or os_name in ("iOS", "Android"):
        return "Mobile"
    return "Desktop" if os_name in _DESKTOP_SYSTEMS else ""
