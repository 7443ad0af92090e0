"""Where an address is: the country always, and region, city and network with the operator's MMDB files.

Invariants: nothing is looked up over a network; a private or unknown address has no place. A place is one text (see
schema.PLACE), so that it stays whole when rows merge. At most CACHE_MAX are cached.
"""

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import iptocc
import maxminddb

from fastpix_server.base import errors
from fastpix_server.views.countries import CONTINENTS, COUNTRIES
from fastpix_server.views.schema import PLACE

CACHE_MAX = 50_000
_FIELD_MAX_CHARS = 120
_BREAKS = re.compile(r"[\x00-\x1f\x7f]")


class BadDatabase(errors.FastpixError):
    message = "unreadable geo database"


class Places:
    """Open once; `paths` are MMDB files, of which the first that knows a field gives it."""

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        try:
            # Mapped, not read: the pages that are used are shared by all processes.
            self._readers = [maxminddb.open_database(path, maxminddb.MODE_MMAP) for path in paths]
        except (OSError, maxminddb.InvalidDatabaseError) as fault:
            raise BadDatabase(f"A file of FASTPIX_GEOIP_DB cannot be used: {fault}") from fault
        self.describe = functools.lru_cache(CACHE_MAX)(self._describe)

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def _describe(self, address: str) -> str:
        """The column `place`; '' when nothing is known."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return ""
        if not parsed.is_global:
            return ""
        found: dict[str, str] = {}
        for reader in self._readers:
            record = reader.get(address) if parsed.version <= _version(reader) else None
            if isinstance(record, dict):
                for name, value in _fields(record).items():
                    found.setdefault(name, value)
        code = found.get("country_code") or iptocc.country_code(address) or ""
        found["country_code"] = code
        found["country"] = COUNTRIES.get(code, found.get("country", code))
        found.setdefault("continent", CONTINENTS.get(code, ""))
        return "\t".join(_clean(found.get(name, "")) for name in PLACE) if any(found.values()) else ""


def _version(reader: maxminddb.Reader) -> int:
    # 6: also holds IPv4 addresses.
    return reader.metadata().ip_version


def _fields(record: Mapping[str, Any]) -> dict[str, str]:
    """GeoIP2/GeoLite2 City, Country and ASN, and the databases that use their names (DB-IP, IPinfo's flat ones)."""
    location = _part(record, "location")
    subdivisions = record.get("subdivisions")
    region = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else {}
    flat = {name: record.get(name) for name in ("country_code", "continent_code", "region", "city", "asn", "as_name")}
    candidates: dict[str, Iterable[object]] = {
        "asn_id": (record.get("autonomous_system_number"), str(flat["asn"] or "").removeprefix("AS")),
        "asn_name": (record.get("autonomous_system_organization"), flat["as_name"]),
        "continent": (_part(record, "continent").get("code"), flat["continent_code"]),
        "country_code": (_part(record, "country").get("iso_code"), flat["country_code"]),
        "country": (_name(_part(record, "country")),),
        "region": (_name(region), flat["region"]),
        "city": (_name(_part(record, "city")), flat["city"]),
        "latitude": (location.get("latitude"), record.get("latitude")),
        "longitude": (location.get("longitude"), record.get("longitude")),
    }
    found = {}
    for name, values in candidates.items():
        value = next((v for v in values if isinstance(v, str | int | float) and v != ""), None)
        if value is not None:
            found[name] = str(value)
    return found


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _name(part: object) -> object:
    if not isinstance(part, dict):
        return None
    names = part.get("names")
    return names.get("en") if isinstance(names, dict) else part.get("name")


def _clean(text: str) -> str:
    return _BREAKS.sub(" ", text)[:_FIELD_MAX_CHARS]
