"""What we are compared with, in the same run: nginx with its RTMP module, and ffmpeg's own HLS muxer behind nginx."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.running import free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
SEGMENT_S = 2

_CONFIG = """
load_module {module};
daemon off; master_process on; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log error;
events {{ worker_connections 2048; }}
rtmp {{ server {{ listen 127.0.0.1:{rtmp_port}; application live {{
  live on; hls on; hls_path {folder}/hls; hls_fragment {segment_s}s; hls_playlist_length 60s;
}} }} }}
http {{ access_log off; types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{http_port}; add_header Access-Control-Allow-Origin * always;
    add_header Cache-Control no-cache always; root {folder}; }} }}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """`muxed` is a folder that it also serves, for ffmpeg's HLS muxer: `{http}/muxed/...`."""

    rtmp: str
    http: str
    muxed: Path
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        root = psutil.Process(self.process.pid)
        return sum(sum(p.cpu_times()[:2]) for p in [root, *root.children(recursive=True)])


def is_installed() -> bool:
    return shutil.which("nginx") is not None and MODULE.exists()


@contextlib.contextmanager
def nginx() -> Iterator[Nginx]:
    with tempfile.TemporaryDirectory(prefix="fastpix-bench-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("hls", "muxed"):
            (folder / part).mkdir()
            (folder / part).chmod(0o777)  # its workers may run as another user
        rtmp_port, http_port = free_port(), free_port()
        text = _CONFIG.format(
            module=MODULE, folder=folder, rtmp_port=rtmp_port, http_port=http_port, segment_s=SEGMENT_S
        )
        (folder / "nginx.conf").write_text(text)
        command = ["nginx", "-p", name, "-c", str(folder / "nginx.conf"), "-e", str(folder / "start.log")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            _wait_for(http_port, process, folder)
            yield Nginx(
                f"rtmp://127.0.0.1:{rtmp_port}/live", f"http://127.0.0.1:{http_port}", folder / "muxed", process
            )
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError((folder / "start.log").read_text())
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.3):
            return
        time.sleep(0.05)
    raise TimeoutError("nginx did not start")
