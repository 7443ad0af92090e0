"""What every request body of media is built from: the strict base, bounded texts, ids and URLs."""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator
from pydantic.alias_generators import to_camel

from fastpix_server.base.fields import refused

TEXT_MAX_CHARS = 255  # contract section 1: title, creatorId, metadata keys and values
METADATA_MAX_ENTRIES = 10  # contract section 1
URL_MAX_CHARS = 8192  # signed storage URLs reach 2 kB; proxies refuse far longer ones anyway
OWN_MEDIA = "fp_mediaId://"  # a URL of this scheme names a media of the same workspace

# BCP 47 by form: en, pt-BR, zh-Hant-TW.
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,6}")
LANGUAGE_MAX_CHARS = 35  # RFC 5646, 4.4.1: the longest that a receiver must take
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class Request(BaseModel):
    """Base of request bodies: camelCase on the wire, strict types, null is absence."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absence(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise refused("is invalid")
    return text.lower()


def not_yet(value: Any) -> Any:
    if value is not None:
        raise refused("is not supported yet")
    return value


def _only_false(value: Any) -> Any:
    if value is True:
        raise refused("is not supported yet")
    return value


def _text(value: str) -> str:
    if len(value) > TEXT_MAX_CHARS:
        raise refused(f"must be at most {TEXT_MAX_CHARS} characters")
    return value


def _entries(value: dict[str, str]) -> dict[str, str]:
    if len(value) > METADATA_MAX_ENTRIES:
        raise refused(f"must have at most {METADATA_MAX_ENTRIES} entries")
    return value


def web_url(url: str) -> str:
    """Something that can be fetched; whether its address may be is found out when it is dialled."""
    if len(url) > URL_MAX_CHARS:
        raise refused(f"must be at most {URL_MAX_CHARS} characters")
    try:
        parts = urlsplit(url)
        is_good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket or a port that is none
        is_good = False
    if not is_good or any(c.isspace() or ord(c) < 32 for c in url):
        raise refused("is invalid")
    return url


def source_url(url: str) -> str:
    """`web_url`, or a media of ours."""
    if url.startswith(OWN_MEDIA):
        return OWN_MEDIA + _uuid(url.removeprefix(OWN_MEDIA))
    return web_url(url)


def _language_code(value: str) -> str:
    if len(value) > LANGUAGE_MAX_CHARS or _LANGUAGE.fullmatch(value) is None:
        raise refused("is invalid")
    return value


def _language_name(value: str) -> str:
    """A name for a player's menu: one line that can be read."""
    name = value.strip()
    if not name or not name.isprintable():
        raise refused("is invalid")
    return _text(name)


Text = Annotated[str, AfterValidator(_text)]
LanguageCode = Annotated[str, AfterValidator(_language_code)]
LanguageName = Annotated[str, AfterValidator(_language_name)]
Metadata = Annotated[dict[Text, Text], AfterValidator(_entries), Field(json_schema_extra={"maxProperties": 10})]
Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
NotYetBool = Annotated[StrictBool, AfterValidator(_only_false)]
SourceUrl = Annotated[str, AfterValidator(source_url)]
WebUrl = Annotated[str, AfterValidator(web_url)]
