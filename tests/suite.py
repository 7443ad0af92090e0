"""Every test, and those that failed once more, alone (docs/decisions/0070-failed-once-alone-again.md).

Arguments are pytest's, and so is the exit code: 0 when all passed, here or alone. Run it where pytest is run.
"""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
# More are no matter of a busy machine: a change broke them, and asking again would only take time.
MAX_AGAIN = 8
SOME_FAILED = 1


def main(arguments: list[str]) -> int:
    FAILED.unlink(missing_ok=True)
    code = _pytest(*arguments)
    if code != SOME_FAILED or not FAILED.is_file():
        return code
    failed = list(json.loads(FAILED.read_text()))
    if not 0 < len(failed) <= MAX_AGAIN:
        return code
    print(f"\n{len(failed)} failed beside the others and are asked again, alone:", flush=True)
    code = _pytest("-n", "0", *failed)
    verdict = "passed alone: find out why they failed before" if code == 0 else "did not all pass alone"
    print(f"\nFailed beside the others; {verdict}:", *failed, sep="\n  ", flush=True)
    return code


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
