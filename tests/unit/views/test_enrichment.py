"""What the server adds to a view: device, place, CDN, and what the source shows."""

import uuid
from pathlib import Path

import pytest
from tests.unit.views import mmdb

from fastpix_server.access import service as access
from fastpix_server.base import errors
from fastpix_server.db.pool import Database
from fastpix_server.playback import service as playback
from fastpix_server.views import cdns, devices
from fastpix_server.views.countries import CONTINENTS, COUNTRIES
from fastpix_server.views.lookups import Lookups, Source, playback_id_of
from fastpix_server.views.places import BadDatabase, Places
from fastpix_server.views.schema import PLACE

CHROME_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0"


@pytest.mark.parametrize(
    ("agent", "browser", "system", "kind"),
    [
        (f"{CHROME_MAC} Safari/537.36", "Chrome 122", "MacOS 10.15.7", "Desktop"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
            " Version/17.4 Mobile/15E148 Safari/604.1",
            "Safari 17", "iOS 17.4", "Mobile",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6"
            " Mobile/15E148 Safari/604.1",
            "Safari 16", "iOS 16.6", "Tablet",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0"
            " Safari/537.36",
            "Chrome 119", "Android 13", "Tablet",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/128.0", "Firefox 128", "Windows 10", "Desktop"),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/6.0 TV"
            " Safari/538.1",
            "Safari 6", "Tizen 6.0", "TV",
        ),
        ("Roku/DVP-9.10 (519.10E04111A)", "Roku 9", "Roku 9.10", "TV"),
        ("something else", None, None, None),
    ],
)  # fmt: skip
def test_a_user_agent_tells_browser_system_and_device(
    agent: str, browser: str | None, system: str | None, kind: str | None
) -> None:
    found = devices.describe(agent)
    assert found.get("detected_browser_version") == browser
    assert found.get("detected_os_version") == system
    assert found.get("detected_device_type") == kind


def test_no_user_agent_says_nothing() -> None:
    assert devices.describe("") == {}


def place(text: str) -> dict[str, str]:
    return {name: value for name, value in zip(PLACE, text.split("\t"), strict=True) if value}


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1", "unknown", "", "1.2.3"])
def test_an_address_of_nowhere_has_no_place(address: str) -> None:
    assert Places().describe(address) == ""


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_the_country_is_known_without_any_file(address: str) -> None:
    assert place(Places().describe(address)) == {"continent": "NA", "country_code": "US", "country": "United States"}


def test_files_of_the_operator_add_region_city_and_network(tmp_path: Path) -> None:
    city = mmdb.write(
        tmp_path / "city.mmdb",
        {
            "8.8.8.0/24": {
                "continent": {"code": "NA"},
                "country": {"iso_code": "CA", "names": {"en": "Canada"}},
                "subdivisions": [{"iso_code": "QC", "names": {"en": "Quebec\tline"}}],
                "city": {"names": {"en": "Montréal"}},
                "location": {"latitude": 45.5, "longitude": -73.6},
            }
        },
    )
    asn = {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"}
    places = Places([mmdb.write(tmp_path / "asn.mmdb", {"8.0.0.0/8": asn}), city])
    assert place(places.describe("8.8.8.8")) == {
        "asn_id": "15169",
        "asn_name": "GOOGLE",
        "continent": "NA",
        "country_code": "CA",
        "country": "Canada",
        "region": "Quebec line",
        "city": "Montréal",
        "latitude": "45.5",
        "longitude": "-73.6",
    }
    assert place(places.describe("8.9.9.9"))["country_code"] == "US"
    assert "asn_id" not in place(places.describe("2001:4860:4860::8888"))
    places.close()


def test_a_flat_file_works_too(tmp_path: Path) -> None:
    record = {"asn": "AS13335", "as_name": "Cloudflare, Inc.", "country_code": "AU", "continent_code": "OC"}
    found = place(Places([mmdb.write(tmp_path / "flat.mmdb", {"1.1.1.0/24": record})]).describe("1.1.1.1"))
    assert (found["asn_id"], found["country"], found["continent"]) == ("13335", "Australia", "OC")


def test_a_file_that_is_no_mmdb_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"no database")
    with pytest.raises(BadDatabase, match="FASTPIX_GEOIP_DB"):
        Places([tmp_path / "x.mmdb"])


def test_every_country_has_a_name_and_a_continent() -> None:
    assert len(COUNTRIES) == len(CONTINENTS) == 250
    assert (COUNTRIES["CI"], CONTINENTS["CI"]) == ("Côte d'Ivoire", "AF")
    assert all(len(code) == 2 and name == name.strip() for code, name in COUNTRIES.items())


def test_a_cdn_is_known_by_the_end_of_its_host_name() -> None:
    assert cdns.of_host("d111.cloudfront.net") == "cloudfront"
    assert cdns.of_host("X.B-CDN.net.") == "bunny"
    assert cdns.of_host("notcloudfront.net") == ""
    assert cdns.of_host("stream.example.com") == ""


ID = "5b2fe1e7-8e2b-4b2f-9d3a-2f6b0d7a1c11"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (f"https://stream.example.com/{ID}.m3u8", ID),
        (f"https://stream.example.com/{ID.upper()}.m3u8?token=a.b.c", ID),
        (f"http://127.0.0.1:8080/{ID}.mpd", ID),
        (f"https://example.com/some/where/{ID}/x/v.m3u8", ID),
        (f"https://example.com/{ID}.mp4", ""),
        (f"https://example.com/?u=/{ID}.m3u8", ""),
        (f"blob:https://example.com/{ID}", ""),
        ("https://example.com/video.m3u8", ""),
        ("", ""),
    ],
)
def test_the_playback_id_is_read_from_the_source(url: str, found: str) -> None:
    assert playback_id_of(url) == found


async def test_a_source_shows_the_media_of_its_own_workspace_only(database_url: str) -> None:
    db = await Database.open(database_url, size=2)
    async with db.unit() as tx:
        mine = await access.create_workspace(tx, name="mine", key="minekey")
        media_id = str(uuid.uuid4())
        made = await playback.create_id(tx, workspace_id=mine.id, target_id=media_id, access_policy="public")
    lookups = Lookups(db)
    url = f"https://stream.example.com/{made.id}.m3u8"
    assert await lookups.source(mine.id, url) == Source(made.id, media_id, "")
    assert await lookups.source(mine.id, "", made.id) == Source(made.id, media_id, "")
    assert await lookups.source(str(uuid.uuid4()), url) == Source(made.id, "", "")
    assert await lookups.source(mine.id, f"https://x.example/{ID}.m3u8") == Source(ID, "", "")
    assert await lookups.source(mine.id, "https://x.example/v.m3u8") is None
    keys = ["minekey", mine.id, mine.id.upper(), "nobody", "'; --", "", "x" * 100]
    assert await lookups.workspaces(keys) == dict.fromkeys(keys[:3], mine.id)
    await db.close()


async def test_what_was_known_stays_known_while_the_database_is_away(database_url: str) -> None:
    db = await Database.open(database_url, size=1)
    async with db.unit() as tx:
        mine = await access.create_workspace(tx, name="mine", key="minekey")
    lookups = Lookups(db)
    assert await lookups.workspaces(["minekey"]) == {"minekey": mine.id}
    await db.close()
    away = await Database.open("postgresql://127.0.0.1:9/none", size=1)
    lookups._db = away
    lookups._workspaces._answers["minekey"] = (0.0, mine.id)  # its time is over
    assert await lookups.workspaces(["minekey"]) == {"minekey": mine.id}
    with pytest.raises(errors.Unavailable):
        await lookups.workspaces(["newkey"])
    assert await lookups.source(mine.id, f"https://x.example/{ID}.m3u8") == Source(ID, "", "")
    await away.close()
