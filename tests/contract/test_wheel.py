"""The built wheel alone, in an environment that has nothing else: the client works, quickly, and needs no server."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
CPU_MAX_S = 0.3  # of `from fastpix import FastPix`, the aim of the project; processor time, since machines are shared
# The three dependencies of the client, and theirs.
ALLOWED = {"click", "fastpix", "httpx", "msgspec"}
ALLOWED |= {"anyio", "certifi", "exceptiongroup", "h11", "httpcore", "idna", "sniffio", "typing_extensions"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the wheel and its dependencies, as pip installs them."""
    made = tmp_path_factory.mktemp("wheel")
    wheel = Path(next(iter(WheelBuilder(str(ROOT)).build(directory=str(made / "dist"), versions=["standard"]))))
    with zipfile.ZipFile(wheel) as opened:
        assert "fastpix/py.typed" in opened.namelist()
        assert "fastpix/_sync/client.py" in opened.namelist()
        assert not [name for name in opened.namelist() if name.startswith(("tests/", "tools/"))]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    target = made / "installed"
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=120, capture_output=True)
    return target


def run(folder: Path, program: str) -> str:
    """In a Python that sees this folder and the standard library, and nothing of ours."""
    text = f"import sys; sys.path.insert(0, {str(folder)!r})\n{textwrap.dedent(program)}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_the_clients_own_dependencies_are_installed(folder: Path) -> None:
    installed = {path.name.split("-")[0].lower() for path in folder.glob("*.dist-info")}
    assert "fastpix" in installed
    assert installed <= ALLOWED


def test_the_client_loads_quickly_and_without_the_server(folder: Path) -> None:
    program = """
        import time
        began = time.process_time()
        from fastpix import AsyncFastPix, FastPix, playback_url, verify_webhook
        took_s = time.process_time() - began
        assert "httpx" not in sys.modules and "asyncio" not in sys.modules
        assert not [name for name in sys.modules if name.startswith("fastpix_server")]
        print(took_s)
    """
    assert min(float(run(folder, program)) for _ in range(3)) < CPU_MAX_S


def test_the_client_and_the_command_line_work_without_the_server(folder: Path) -> None:
    program = """
        import fastpix
        from fastpix import cli, errors
        with fastpix.FastPix(username="u", password="p", base_url="http://127.0.0.1:9", retries=0) as client:
            try:
                client.media.get(media_id="m")
            except errors.ConnectionFailed as fault:
                print("no answer")
        try:
            fastpix.sign_playback_token(signing_key_id="k", private_key="p", playback_id="i")
        except errors.NotConfigured as fault:
            print(fault)
        from fastpix.testing.platform import Platform, PlatformNotStarted
        try:
            Platform().start()
        except PlatformNotStarted as fault:
            print(fault)
        cli.main(["--version"], standalone_mode=False)
        import click
        context = click.Context(cli.main, info_name="fastpix")
        for name in cli.CLIENT:
            assert "Example" in cli.main.get_command(context, name).get_help(context)
        for words, expected in (["token", "list"], 3), (["up"], 1):  # the API is meant; the server is not there
            try:
                cli.main(words)
            except SystemExit as ended:
                assert ended.code == expected, (words, ended.code)
        assert not [name for name in sys.modules if name.startswith("fastpix_server")]
    """
    no_answer, tokens, platform, version = run(folder, program).strip().splitlines()
    assert no_answer == "no answer"
    assert "pip install 'fastpix[tokens]'" in tokens
    assert "granian" in platform
    assert "pip install 'fastpix[server]'" in platform
    assert "fastpix" in version or "version" in version
