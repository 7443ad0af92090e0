"""Object keys: relative paths of plain words, so that no key can leave its store or hide from a listing.

Invariants: a checked key has no empty, `.`, `..` or dot-first part, so `.tmp`, `.staging` and `.trash` belong to the
store alone; checking is the first thing that every store method does.
"""

import re

# One path part: starts with a letter, digit, `_` or `-`; at most 200 characters (file systems stop at 255 bytes).
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
MAX_KEY_CHARS = 512  # S3 allows 1024 bytes; half of it leaves room for a bucket prefix
MAX_NAME_CHARS = 100  # staging names are single parts: a UUID is 36


class InvalidKey(ValueError):
    """A key or staging name that could escape its folder. Always our own bug: keys are never a user's text."""


def check_key(key: str) -> str:
    """`key` itself; raises InvalidKey unless it is a relative path of plain parts."""
    if not key or len(key) > MAX_KEY_CHARS or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise InvalidKey(f"not an object key: {key[:80]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """A folder of keys, without its trailing slash. The empty prefix is refused: nobody means *everything*."""
    return check_key(prefix.rstrip("/"))


def check_name(name: str) -> str:
    """`name` itself; raises InvalidKey unless it is one plain part."""
    if len(name) > MAX_NAME_CHARS or not _PART.fullmatch(name):
        raise InvalidKey(f"not a staging name: {name[:80]!r}")
    return name


# First parts of the keys of a media, each followed by its id: what its owner sent, what was made of it, what was
# streamed. **Whatever is stored for a media lies below one of them**: deletion and the storage report know no others.
MEDIA_FAMILIES = ("sources", "media", "live")


def prefixes_of(media_id: str) -> dict[str, str]:
    """Every folder that a media may have objects in, by its family."""
    return {family: check_key(f"{family}/{media_id}") for family in MEDIA_FAMILIES}


def media_of(key: str) -> str | None:
    """Whose a key, or a folder, is; None for what belongs to no media."""
    family, _, rest = key.partition("/")
    return rest.partition("/")[0] or None if family in MEDIA_FAMILIES else None


def original_key(media_id: str) -> str:
    """Where the bytes of a media's source are, before `media.prepare` runs and as long as the media lives."""
    return check_key(f"sources/{media_id}/original")
