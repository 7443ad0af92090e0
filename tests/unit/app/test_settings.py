"""Settings: defaults, strictness, sentences."""

import ipaddress
from pathlib import Path

import pytest

from fastpix_server.app import settings, wiring
from fastpix_server.app.settings import BadSettings, Secret


def problems(**environ: str) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        settings.load(environ)
    return caught.value.problems


def test_an_empty_environment_gives_the_documented_defaults():
    loaded = settings.load({})
    assert loaded.data_dir == Path("fastpix-data").absolute()
    assert (loaded.http.host, loaded.http.port) == ("127.0.0.1", 8080)
    assert loaded.urls.public == "http://127.0.0.1:8080"
    assert loaded.storage_url == f"file://{loaded.data_dir}/objects"
    assert (loaded.ingest.rtmp_port, loaded.ingest.rtmps_port, loaded.ingest.srt_port) == (1935, 1936, 8890)
    assert loaded.fetch.allow_cidrs == ()
    assert loaded.api_generation == "auto"
    assert not loaded.database_url
    assert 1 <= loaded.http.workers <= 4


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    assert problems(FASTPIX_HTTP_PROT="80") == ["FASTPIX_HTTP_PROT is not a setting. Did you mean FASTPIX_HTTP_PORT?"]


def test_names_of_other_programs_are_ignored():
    settings.load({"HOME": "/x", "FASTPIXY": "1", "PORT": "x"})


def test_variables_of_clients_are_known_and_ignored():
    settings.load({"FASTPIX_BASE_URL": "http://x", "FASTPIX_WEBHOOK_SECRET": "s"})


def test_an_empty_value_counts_as_not_set():
    assert settings.load({"FASTPIX_HTTP_PORT": " "}).http.port == 8080


def test_all_bad_values_are_told_at_once():
    told = problems(FASTPIX_HTTP_PORT="many", FASTPIX_PUBLIC_URL="video.example.com", FASTPIX_LOG_LEVEL="loud")
    assert len(told) == 3


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8_080", "80.0", "٨٠", "9" * 30])
def test_a_port_outside_its_range_is_refused(port: str):
    (told,) = problems(FASTPIX_HTTP_PORT=port)
    assert told.startswith("FASTPIX_HTTP_PORT is ")
    assert "from 1 to 65535" in told


@pytest.mark.parametrize("port", ["1", "65535"])
def test_a_port_at_the_edge_of_its_range_is_taken(port: str):
    assert settings.load({"FASTPIX_HTTP_PORT": port}).http.port == int(port)


def test_an_ingest_port_of_zero_turns_it_off():
    assert settings.load({"FASTPIX_SRT_PORT": "0"}).ingest.srt_port == 0


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "https://u:p@x", "http://x?a=1", "http://x#f", "http://x:99999", "http://a b"]
)
def test_a_public_url_that_cannot_be_a_base_is_refused(url: str):
    (told,) = problems(FASTPIX_PUBLIC_URL=url)
    assert "https://video.example.com" in told


def test_a_public_url_loses_its_trailing_slash_and_keeps_its_path():
    assert settings.load({"FASTPIX_PUBLIC_URL": "https://x.example/video/"}).urls.public == "https://x.example/video"


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://localhost:8080"), ("::1", "http://[::1]:8080"), ("10.0.0.5", "http://10.0.0.5:8080")],
)
def test_the_public_url_follows_host_and_port(host: str, url: str):
    assert settings.load({"FASTPIX_HOST": host}).urls.public == url


def test_networks_that_may_be_fetched_from_are_parsed():
    loaded = settings.load({"FASTPIX_FETCH_ALLOW_CIDRS": "127.0.0.0/8, fd00::/8"})
    assert loaded.fetch.allow_cidrs == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "localhost", "10.0.0.0/33"])
def test_a_network_that_is_none_is_refused(networks: str):
    (told,) = problems(FASTPIX_FETCH_ALLOW_CIDRS=f"127.0.0.0/8,{networks}")
    assert "10.0.0.0/8" in told


def test_user_name_and_password_belong_together():
    (told,) = problems(FASTPIX_USERNAME="ada")
    assert "FASTPIX_PASSWORD" in told
    assert settings.load({"FASTPIX_USERNAME": "ada", "FASTPIX_PASSWORD": "x"}).username == "ada"


def test_a_user_name_with_a_colon_is_refused():
    (told,) = problems(FASTPIX_USERNAME="a:b", FASTPIX_PASSWORD="x")
    assert "colons" in told


def test_a_database_url_of_another_system_is_refused_and_not_repeated():
    (told,) = problems(FASTPIX_DATABASE_URL="mysql://ada:hunter2@db/x")
    assert "postgresql://" in told
    assert "hunter2" not in told


def test_a_program_that_cannot_be_run_is_refused():
    (told,) = problems(FASTPIX_FFMPEG="/nonexistent/ffmpeg")
    assert told.startswith("FASTPIX_FFMPEG")


def test_secrets_do_not_show():
    loaded = settings.load(
        {
            "FASTPIX_USERNAME": "ada",
            "FASTPIX_PASSWORD": "hunter2",
            "FASTPIX_DATABASE_URL": "postgresql://u:hunter2@h/d",
            "FASTPIX_MASTER_KEY": "hunter2",
            "FASTPIX_S3_SECRET_ACCESS_KEY": "hunter2",
        }
    )
    assert "hunter2" not in repr(loaded)
    assert "hunter2" not in f"{loaded.password} {loaded.s3}"
    assert loaded.password.reveal() == "hunter2"
    assert loaded.s3["secret_access_key"].reveal() == "hunter2"


def test_the_tree_cannot_be_changed():
    with pytest.raises(AttributeError):
        settings.load({}).log_level = "debug"  # type: ignore[misc]


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret("x")


def test_s3_options_are_those_that_the_storage_knows():
    from fastpix_server.storage import s3

    names = {name.removeprefix("FASTPIX_S3_").lower() for name in settings.VARIABLES if name.startswith("FASTPIX_S3_")}
    assert names == set(s3.OPTIONS)


def test_a_worker_leaves_the_background_alone_when_it_is_told_so(tmp_path: Path) -> None:
    folder = {"FASTPIX_DATA_DIR": str(tmp_path)}
    assert "fill" in wiring.queues(settings.load(folder))
    assert "fill" not in wiring.queues(settings.load({**folder, "FASTPIX_BACKGROUND_FILL": "off"}))
    with pytest.raises(settings.BadSettings, match="FASTPIX_BACKGROUND_FILL is 'maybe'"):
        settings.load({**folder, "FASTPIX_BACKGROUND_FILL": "maybe"})


def test_clearkey_is_the_door_until_a_licence_server_is_set():
    assert settings.load({}).licences.has_clearkey
    assert not settings.load({"FASTPIX_WIDEVINE_LICENSE_URL": "https://l.example.com/wv?a=b"}).licences.has_clearkey
    both = {"FASTPIX_FAIRPLAY_LICENSE_URL": "http://10.0.0.1/f", "FASTPIX_CLEARKEY": "on"}
    assert settings.load(both).licences.has_clearkey


def test_a_bad_licence_server_is_refused_without_repeating_what_may_be_secret():
    (told,) = problems(FASTPIX_WIDEVINE_LICENSE_URL="ftp://user:hush@l.example.com")
    assert told.startswith("FASTPIX_WIDEVINE_LICENSE_URL must be a URL")
    assert "hush" not in told
    for header in ("hush", "X Y: hush", "X-Secret:", "X-Secret: hu\nsh", "X-Sécret: hush"):
        (told,) = problems(FASTPIX_LICENSE_HEADER=header)
        assert "hush" not in told
    loaded = settings.load({"FASTPIX_LICENSE_HEADER": "X-Secret: hush", "FASTPIX_FAIRPLAY_CERT_URL": "http://h/hush"})
    assert "hush" not in repr(loaded)
    servers = wiring._licence_servers(loaded)
    assert (servers.header, servers.fairplay_cert_url) == (("X-Secret", "hush"), "http://h/hush")
    assert "hush" not in repr(servers)


def test_a_certificate_needs_its_key_and_both_must_be_files(tmp_path: Path):
    file = tmp_path / "x.pem"
    file.write_text("x")
    assert problems(FASTPIX_TLS_CERT=str(file)) == [
        "FASTPIX_TLS_CERT and FASTPIX_TLS_KEY belong together: set both, or neither."
    ]
    [told] = problems(FASTPIX_TLS_CERT=str(file), FASTPIX_TLS_KEY=str(tmp_path / "none"))[:1]
    assert told.startswith("FASTPIX_TLS_KEY is ")
    ingest = settings.load({"FASTPIX_TLS_CERT": str(file), "FASTPIX_TLS_KEY": str(file)}).ingest
    assert (ingest.tls_cert, ingest.tls_key) == (str(file), str(file))


def test_an_origin_that_listens_everywhere_must_be_named():
    [told] = problems(FASTPIX_ORIGIN_HOST="0.0.0.0")
    assert told.startswith("FASTPIX_ORIGIN_URL is not set")
    ingest = settings.load({"FASTPIX_ORIGIN_HOST": "0.0.0.0", "FASTPIX_ORIGIN_URL": "http://10.0.0.5:8891/"}).ingest
    assert (ingest.origin_host, ingest.origin_url, ingest.origin_port) == ("0.0.0.0", "http://10.0.0.5:8891", 0)
    assert settings.load({}).ingest.origin_host == "127.0.0.1"


def test_announced_addresses_are_addresses():
    assert settings.load({"FASTPIX_WHIP_ANNOUNCE": "203.0.113.7, 2001:db8::1"}).ingest.whip_announce == (
        "203.0.113.7",
        "2001:db8::1",
    )
    [told] = problems(FASTPIX_WHIP_ANNOUNCE="live.example.com")
    assert "give IP addresses" in told


@pytest.mark.parametrize(
    "url", ["clickhouse://u:p@h", "http://", "http://h/a/b", "http://h/?a=1", "http://h:x", "h:8123"]
)
def test_a_clickhouse_url_that_cannot_be_one_is_refused_and_not_repeated(url: str):
    with pytest.raises(BadSettings, match="FASTPIX_CLICKHOUSE_URL must be") as caught:
        settings.load({"FASTPIX_CLICKHOUSE_URL": url})
    assert url not in str(caught.value).replace("http://user:password@host:8123/database", "")


def test_geo_files_must_be_readable(tmp_path: Path):
    file = tmp_path / "city.mmdb"
    file.touch()
    assert settings.load({"FASTPIX_GEOIP_DB": f"{file}, {file}"}).views.geoip_db == f"{file},{file}"
    with pytest.raises(BadSettings, match="FASTPIX_GEOIP_DB"):
        settings.load({"FASTPIX_GEOIP_DB": f"{file},{tmp_path / 'none.mmdb'}"})


@pytest.mark.parametrize("name", ["a b", "a`", "x" * 65, "'"])
def test_the_name_of_a_cluster_is_a_plain_word(name: str):
    assert settings.load({"FASTPIX_CLICKHOUSE_CLUSTER": "main_1"}).views.cluster == "main_1"
    with pytest.raises(BadSettings, match="FASTPIX_CLICKHOUSE_CLUSTER"):
        settings.load({"FASTPIX_CLICKHOUSE_CLUSTER": name})
