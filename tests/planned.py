"""Footage with the plan that the platform would make for it, computed once per session."""

import functools
from pathlib import Path

from fastpix_server.engine.copyrung import judge
from fastpix_server.engine.plan import Plan, make_plan
from fastpix_server.engine.probe import probe
from fastpix_server.engine.run import run


async def planned(source: Path, *, copy: bool = True) -> Plan:
    """`copy=False`: as if no rung could be taken over from the source."""
    return _plan(source, await _probed(source), copy)


_sources: dict[Path, object] = {}


async def _probed(source: Path) -> object:
    if source not in _sources:
        _sources[source] = await probe(source, run=run)
    return _sources[source]


@functools.cache
def _plan(source: Path, facts, copy: bool) -> Plan:  # type: ignore[no-untyped-def]
    return make_plan(facts, copy=judge(source, facts) if copy else None)
