"""Absolute links inside media bodies. The app says once per process where images and streams are served.

Events carry the same public JSON as the API (contract section 4) and are written by jobs as well as by requests,
so the base is set per process and not passed from call to call.
"""

_images_url = "http://127.0.0.1:8080"  # the documented default of the one HTTP port
_stream_url = "http://127.0.0.1:8080"


def configure(images_url: str, stream_url: str | None = None) -> None:
    """FASTPIX_IMAGES_URL and FASTPIX_STREAM_URL, or else FASTPIX_PUBLIC_URL; a trailing slash is dropped."""
    global _images_url, _stream_url
    _images_url = images_url.rstrip("/")
    _stream_url = (stream_url or images_url).rstrip("/")


def stream_url() -> str:
    """Below it are the manifests: a URL that begins so is one of ours."""
    return _stream_url


def thumbnail(playback_id: str) -> str:
    return f"{_images_url}/{playback_id}/thumbnail.png"
