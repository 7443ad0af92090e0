"""Cuts and joins as arithmetic on times: from what was asked for to an ordered list of stretches of files.

All times count on the base as it was before any edit, so the order in which options are written down means nothing;
a time inside a part that is removed means the place where that part was. Invariants: every stretch of the result is
longer than nothing; nothing is read or started here.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

from fastpix_server.base.errors import SourceFault


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file, in the file's own time from its beginning."""

    file: int
    in_s: Fraction
    out_s: Fraction

    @property
    def length_s(self) -> Fraction:
        return self.out_s - self.in_s


@dataclasses.dataclass(frozen=True, slots=True)
class Insert:
    """`at_s` None: at the end of the base."""

    at_s: Fraction | None
    stretch: Stretch


@dataclasses.dataclass(frozen=True, slots=True)
class Cuts:
    """`end_s` None: to the end. Of two inserts at one time the first in the list is shown first."""

    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None
    removed_s: tuple[tuple[Fraction, Fraction], ...] = ()
    inserts: tuple[Insert, ...] = ()
    intro: Stretch | None = None
    outro: Stretch | None = None


def compose(base: Sequence[Stretch], cuts: Cuts) -> list[Stretch]:
    """The stretches in the order in which they are shown, neighbours of one file joined.

    Raises SourceFault when nothing of the base is left: an intro alone is not the media that was asked for.
    """
    length_s = sum((stretch.length_s for stretch in base), Fraction(0))
    end_s = length_s if cuts.end_s is None else min(cuts.end_s, length_s)
    kept = list(_kept(cuts.start_s, end_s, cuts.removed_s))
    if not kept:
        raise SourceFault("nothing_left", f"The cuts leave nothing of the {float(length_s):.3f} seconds of the video.")
    found = [cuts.intro] if cuts.intro else []
    waiting = sorted(cuts.inserts, key=lambda insert: length_s if insert.at_s is None else min(insert.at_s, length_s))
    for begin, end in kept:
        at = begin
        while waiting and (time_s := waiting[0].at_s) is not None and time_s < end:
            found += _part(base, at, max(at, time_s))
            at = max(at, time_s)
            found.append(waiting.pop(0).stretch)
        found += _part(base, at, end)
    found += [insert.stretch for insert in waiting]
    return _joined([*found, *([cuts.outro] if cuts.outro else [])])


def _kept(
    start_s: Fraction, end_s: Fraction, removed_s: Sequence[tuple[Fraction, Fraction]]
) -> Iterator[tuple[Fraction, Fraction]]:
    at = start_s
    for begin, end in sorted(removed_s):
        if begin >= end_s:
            break
        if begin > at:
            yield at, begin
        at = max(at, end)
    if at < end_s:
        yield at, end_s


def _part(base: Sequence[Stretch], begin: Fraction, end: Fraction) -> Iterator[Stretch]:
    """What of the base is shown from `begin` to `end`."""
    at = Fraction(0)
    for stretch in base:
        first, last = max(begin, at), min(end, at + stretch.length_s)
        if first < last:
            yield Stretch(stretch.file, stretch.in_s + first - at, stretch.in_s + last - at)
        at += stretch.length_s


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for stretch in stretches:
        if found and found[-1].file == stretch.file and found[-1].out_s == stretch.in_s:
            found[-1] = Stretch(stretch.file, found[-1].in_s, stretch.out_s)
        elif stretch.length_s > 0:
            found.append(stretch)
    return found
