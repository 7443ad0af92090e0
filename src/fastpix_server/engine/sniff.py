"""What a file is, by its first bytes: one of the containers that we accept, or a refusal that the user understands.

Invariant: ffmpeg only ever opens a file whose container was recognised here, with that container's demuxer alone.
So a playlist, a concat script, a picture or a web page never reaches it, whatever its name or content type said.
"""

import dataclasses
from pathlib import Path
from typing import BinaryIO, NoReturn

from fastpix_server.base.errors import SourceFault

HEAD_BYTES = 4096  # enough for every magic number below and to tell text from bytes
TS_PACKET_BYTES = (188, 192, 204)  # plain, with time codes (M2TS), with error correction


@dataclasses.dataclass(frozen=True, slots=True)
class Container:
    name: str  # as the API says it
    demuxer: str  # the only one that ffmpeg may use


_MP4 = Container("mp4", "mov")
_MOV = Container("mov", "mov")
_M4A = Container("m4a", "mov")
_MKV = Container("mkv", "matroska")
_WEBM = Container("webm", "matroska")
_TS = Container("ts", "mpegts")
_MP3 = Container("mp3", "mp3")
_AAC = Container("aac", "aac")

_MAGIC: tuple[tuple[bytes, Container], ...] = (
    (b"\x00\x00\x01\xba", Container("mpeg", "mpeg")),
    (b"FLV\x01", Container("flv", "flv")),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), Container("asf", "asf")),
    (b"OggS", Container("ogg", "ogg")),
    (b"fLaC", Container("flac", "flac")),
    (bytes.fromhex("060e2b34020501010d010201"), Container("mxf", "mxf")),
)
_QUICKTIME_BOXES = (b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid")
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1")

_IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*", b"8BPS", b"\xff\x0a")
_ARCHIVES = (
    b"PK\x03\x04",
    b"%PDF-",
    b"\x1f\x8b",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\x7fELF",
    b"MZ",
    b"\xfd7zXZ",
    b"\xd0\xcf\x11",
)
_PLAYLISTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"<smil", b"<mpd", b"<asx")


def sniff(path: Path) -> Container:
    """The container of the file. Raises SourceFault when it is not one of ours, with what it seems to be instead."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        found = _by_magic(head) or _audio_after_tags(file, head)
    if found is None:
        _refuse(head)
    return found


def _by_magic(head: bytes) -> Container | None:
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[4:8] in _QUICKTIME_BOXES and head[:4] != bytes(4):
        return _MOV
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _WEBM if b"webm" in head[:64] else _MKV
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"AVI ": Container("avi", "avi"), b"WAVE": Container("wav", "wav")}.get(head[8:12])
    return next((c for magic, c in _MAGIC if head.startswith(magic)), None) or _transport_stream(head)


def _by_brand(head: bytes) -> Container | None:
    brand = head[8:12]
    if brand in _IMAGE_BRANDS:
        return None
    return {b"qt  ": _MOV, b"M4A ": _M4A, b"M4B ": _M4A}.get(brand, _MP4)


def _transport_stream(head: bytes) -> Container | None:
    """Five sync bytes at a packet's distance, anywhere in the first packet."""
    for size in TS_PACKET_BYTES:
        for first in range(size):
            if all(head[first + n * size : first + n * size + 1] == b"\x47" for n in range(5)):
                return _TS
    return None


def _audio_after_tags(file: BinaryIO, head: bytes) -> Container | None:
    """MP3, AAC and FLAC may hide behind an ID3 tag of any length (cover art)."""
    if head.startswith(b"ID3") and len(head) >= 10:
        length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(10 + length)
        head = file.read(HEAD_BYTES).lstrip(b"\0")
        if head.startswith(b"fLaC"):
            return Container("flac", "flac")
    return _frame_header(head)


def _frame_header(head: bytes) -> Container | None:
    """An MPEG audio frame: 11 bits of sync, then fields of which some values are forbidden."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    layer = head[1] >> 1 & 3
    if layer == 0:  # ADTS: sync of 12 bits, layer 0, a sampling index of 12 at most, and another frame where it says
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        follows = head[size : size + 2]
        is_adts = head[1] & 0xF0 == 0xF0 and head[2] >> 2 & 0xF <= 12 and size >= 7
        return _AAC if is_adts and (len(follows) < 2 or (follows[0] == 0xFF and follows[1] & 0xF6 == 0xF0)) else None
    has_version = head[1] >> 3 & 3 != 1
    has_bitrate = head[2] >> 4 not in (0, 15)
    has_rate = head[2] >> 2 & 3 != 3
    return _MP3 if has_version and has_bitrate and has_rate else None


def _refuse(head: bytes) -> NoReturn:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise SourceFault("empty_file", "The file is empty: it has 0 bytes.")
    if not head.strip(b"\0"):
        raise SourceFault("zero_bytes", "The file holds only zero bytes, so there is no video in it.")
    if start.startswith(_PLAYLISTS) or b"<mpd" in start[:1024]:
        raise SourceFault(
            "playlist_file", "The file is a playlist, not a video. Send the media file that the playlist names."
        )
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<script", b"<body")) or b"<html" in start[:1024]:
        raise SourceFault(
            "html_page", "The file is a web page, not a video. The link may need a login or lead to a viewer page."
        )
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if head.startswith(_IMAGES) or is_webp or (head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS):
        raise SourceFault("image_file", "The file is an image, not a video.")
    if head.startswith(_ARCHIVES):
        raise SourceFault("not_media", "The file is a document, a program or an archive, not a video.")
    if _is_text(head):
        raise SourceFault("text_file", "The file is text, not a video.")
    raise SourceFault(
        "unsupported_format",
        "The file is not in a format that can be read. Send MP4, MOV, MKV, WebM, MPEG-TS, AVI, MP3, WAV or the like.",
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[: len(head) - 4 if len(head) == HEAD_BYTES else None].decode()  # do not cut a character in half
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
