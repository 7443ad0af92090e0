"""A plan as JSON and back, without loss: what the database stores and what the revision is the hash of."""

import dataclasses
import hashlib
import json
from fractions import Fraction
from typing import Any

from fastpix_server.engine.edit import Edit, Lender, Overlay, Piece, SoundSource, Watermark
from fastpix_server.engine.source import VideoFacts
from fastpix_server.engine.timeline import AudioRendition, Plan, Timeline, VideoRendition

REVISION_CHARACTERS = 12  # 48 bits: a media has a handful of plans in its life


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Plain JSON types only; fractions are "30000/1001"."""
    found: dict[str, Any] = _plain(dataclasses.asdict(plan))
    if plan.edit is None:
        del found["edit"]  # plans that were stored before there were edits are read, and hashed, as ever
    return found


def plan_from_json(data: dict[str, Any]) -> Plan:
    """The inverse of plan_to_json. Raises KeyError or TypeError for what it did not write."""
    timeline = dict(data["timeline"])
    edit = data.get("edit")
    return Plan(
        revision=data["revision"],
        container=data["container"],
        start_s=data["start_s"],
        duration_s=data["duration_s"],
        timeline=Timeline(
            **timeline
            | {
                "fps": Fraction(timeline["fps"]),
                "cuts": tuple(timeline["cuts"]),
                "audio_cuts": tuple(timeline["audio_cuts"]),
            }
        ),
        video=_video(data["video"]),
        seeks_s=tuple(data["seeks_s"]),
        videos=tuple(VideoRendition(**v) for v in data["videos"]),
        audios=tuple(AudioRendition(**a) for a in data["audios"]),
        edit=None if edit is None else _edit(edit),
    )


def _video(data: dict[str, Any] | None) -> VideoFacts | None:
    return None if data is None else VideoFacts(**data | {"fps": Fraction(data["fps"])})


def _edit(data: dict[str, Any]) -> Edit:
    return Edit(
        pieces=tuple(
            Piece(
                first=piece["first"],
                file=piece["file"],
                in_s=Fraction(piece["in_s"]),
                video=_video(piece["video"]),
                streams=tuple(piece["streams"]),
            )
            for piece in data["pieces"]
        ),
        watermarks=tuple(Watermark(**mark) for mark in data["watermarks"]),
        swap=None if data["swap"] is None else SoundSource(**data["swap"]),
        overlays=tuple(_overlay(overlay) for overlay in data["overlays"]),
        gains_db=tuple(data["gains_db"]),
        lender=None if data["lender"] is None else _lender(data["lender"]),
    )


def _lender(data: dict[str, Any]) -> Lender:
    return Lender(data["place"], tuple(data["cuts"]), tuple(data["renditions"]))


def _overlay(data: dict[str, Any]) -> Overlay:
    times = ("start_s", "end_s", "fade_in_s", "fade_out_s")
    return Overlay(**data | {name: Fraction(data[name]) for name in times})


def revision_of(plan: Plan) -> str:
    """A short hash of everything in the plan but its revision."""
    rest = plan_to_json(dataclasses.replace(plan, revision=""))
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:REVISION_CHARACTERS]


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
