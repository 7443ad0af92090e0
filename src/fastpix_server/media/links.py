"""Absolute links inside media bodies. The app says once per process where images are served.

Events carry the same public JSON as the API (contract section 4) and are written by jobs as well as by requests,
so the base is set per process and not passed from call to call.
"""

_images_url = "http://127.0.0.1:8080"  # the documented default of the one HTTP port


def configure(images_url: str) -> None:
    """`images_url` is FASTPIX_IMAGES_URL or else FASTPIX_PUBLIC_URL; a trailing slash is dropped."""
    global _images_url
    _images_url = images_url.rstrip("/")


def thumbnail(playback_id: str) -> str:
    return f"{_images_url}/{playback_id}/thumbnail.png"
