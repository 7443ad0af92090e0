"""Vendoring without a network: npm is a small program of ours."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fastpix_server.edge import web_build

_NPM = """#!/bin/sh
[ -n "$FAKE_NPM_FAILS" ] && { echo "registry says no" >&2; exit 1; }
echo "$@" >> "$FAKE_NPM_LOG"
mkdir -p node_modules/hls.js/dist node_modules/shaka-player/dist
for f in hls.js/LICENSE hls.js/dist/hls.min.js shaka-player/LICENSE \\
         shaka-player/dist/shaka-player.compiled-es2021.js; do
  echo "$f" > "node_modules/$f"
done
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "npm").write_text(_NPM)
    (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_NPM_LOG", str(tmp_path / "npm.log"))
    folder = tmp_path / "web"
    shutil.copytree(web_build.SOURCES, folder)
    return folder


def test_the_players_are_copied_with_their_licences(sources: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    assert web_build.build(vendor, sources)
    assert {p.name for p in vendor.iterdir()} == {*web_build.FILES, "versions.json"}
    assert "--ignore-scripts" in (tmp_path / "npm.log").read_text()
    assert json.loads((vendor / "versions.json").read_text())["hls.js"] == web_build.versions(sources)["hls.js"]


def test_what_is_current_is_not_fetched_again(sources: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    assert web_build.build(vendor, sources)
    assert not web_build.build(vendor, sources)
    (vendor / "hls.min.js").unlink()
    assert web_build.build(vendor, sources)
    lock = sources / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    assert web_build.build(vendor, sources)


def test_a_failing_registry_is_a_sentence(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_NPM_FAILS", "1")
    with pytest.raises(web_build.BuildError, match="registry says no"):
        web_build.build(tmp_path / "vendor", sources)


def test_the_lock_pins_every_package_and_names_no_registry() -> None:
    packages = json.loads((web_build.SOURCES / "package-lock.json").read_text())["packages"]
    pinned = {path: entry for path, entry in packages.items() if path}
    assert set(pinned) == {"node_modules/hls.js", "node_modules/shaka-player"}
    for entry in pinned.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
