"""An idle role has in memory what it uses, and not what another role or a later request uses."""

import subprocess
import sys

import pytest

_ROLES = {
    "supervisor": (
        "import fastpix_server.app.commands, fastpix_server.app.supervisor",
        {"rich", "psycopg", "sqlalchemy", "aiohttp", "pydantic"},
    ),
    "http": (
        "from fastpix_server.app import http; http._preload(frozenset({'api', 'edge'}))",
        {"rich", "alembic", "procrastinate", "numpy", "aiortc", "av"},
    ),
    "worker": (
        "from fastpix_server.app import worker; worker._preload()",
        {"rich", "alembic", "numpy", "fastapi", "aiortc", "av"},
    ),
    "ingest": (
        "from fastpix_server.app import ingest; ingest._preload()",
        {"rich", "alembic", "procrastinate", "numpy", "pydantic", "fastapi", "aiortc", "av"},
    ),
    "analytics": (
        "import fastpix_server.app.analytics",
        {"rich", "alembic", "numpy", "pydantic", "sqlalchemy", "psycopg"},
    ),
}


@pytest.mark.parametrize("role", _ROLES)
def test_a_role_does_without_the_libraries_of_others(role: str):
    program, others = _ROLES[role]
    asked = f"{program}; import sys; print(*sorted({others!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == []
