"""Which CDN a source comes from, by its host name: what the page did not say."""

from collections.abc import Mapping

# End of the host name -> CDN. Host names of customers (video.example.com) tell nothing, and give ''.
_SUFFIXES: Mapping[str, str] = {
    ".akamaized.net": "akamai",
    ".akamaihd.net": "akamai",
    ".akamai.net": "akamai",
    ".azureedge.net": "azure",
    ".azurefd.net": "azure",
    ".b-cdn.net": "bunny",
    ".cdn77.org": "cdn77",
    ".cloudflare.com": "cloudflare",
    ".cloudflarestream.com": "cloudflare",
    ".cloudfront.net": "cloudfront",
    ".edgecastcdn.net": "edgio",
    ".fastly.net": "fastly",
    ".fastlylb.net": "fastly",
    ".gcdn.co": "gcore",
    ".googleusercontent.com": "google",
    ".hwcdn.net": "stackpath",
    ".keycdn.com": "keycdn",
    ".kxcdn.com": "keycdn",
    ".llnwd.net": "edgio",
    ".r2.dev": "cloudflare",
    ".storage.googleapis.com": "google",
}


def of_host(hostname: str) -> str:
    host = "." + hostname.lower().strip(".")
    return next((name for suffix, name in _SUFFIXES.items() if host.endswith(suffix)), "")
