"""`make test` asks twice, and is not talked out of a failure."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "suite.py"
SOMETIMES = """
from pathlib import Path

def test_sometimes():
    seen = Path(__file__).with_name("seen")
    was_seen = seen.exists()
    seen.touch()
    assert was_seen
"""


@pytest.mark.parametrize(
    ("tests", "code", "verdict"),
    [
        ("def test_fine():\n    pass\n", 0, None),
        (SOMETIMES, 0, "passed alone: find out"),
        (SOMETIMES + "def test_never():\n    assert False\n", 1, "did not all pass alone"),
        ("import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_many(n):\n    assert False\n", 1, None),
    ],
)
def test_what_failed_is_asked_again_alone(tmp_path: Path, tests: str, code: int, verdict: str | None):
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_it.py").write_text(tests)
    argv = [sys.executable, str(SUITE), "-q"]
    ran = subprocess.run(argv, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == code, ran.stdout
    assert ("Failed beside the others" in ran.stdout) == (verdict is not None)
    if verdict:
        assert verdict in ran.stdout
        assert "test_it.py::test_sometimes" in ran.stdout.rpartition("Failed beside")[2]
