"""Every media call of the official Python SDK (current generation), over HTTP, as its users make it."""

import asyncio
import base64
import uuid

import httpx
import pytest
from fastpix_python import errors
from tests import footage
from tests.contract.conftest import PASSWORD, USERNAME

INPUTS = [{"type": "video", "url": "https://example.com/video.mp4"}]


def created(sdk, **options):
    return sdk.input_video.create_media(inputs=INPUTS, access_policy="public", **options).data


def test_a_media_is_created_from_a_url(sdk):
    made = created(sdk, metadata={"key1": "value1"}, max_resolution="720p")
    assert (made.status, made.trial, made.metadata, made.max_resolution) == (
        "Created",
        False,
        {"key1": "value1"},
        "720p",
    )
    assert made.inputs == INPUTS
    assert made.playback_ids[0].access_policy == "public"
    assert made.created_at < made.updated_at


def test_a_ready_media_is_read_in_full_and_listed(sdk, running):
    made = created(sdk)
    running.deliver(made.id, footage.make("plain"))
    media = sdk.manage_videos.get_media(media_id=made.id).data
    assert (media.status, media.source_resolution, media.aspect_ratio) == ("Ready", "360", "16:9")
    assert isinstance(media.duration, float)
    assert media.duration == pytest.approx(8, abs=0.1)
    assert media.thumbnail.endswith(f"/{made.playback_ids[0].id}/thumbnail.png")
    video, audio = media.tracks
    assert (video.type, video.width, video.height, video.frame_rate, video.status) == (
        "video", 640, 360, "30.000", "available",
    )  # fmt: skip
    assert (audio.type, audio.language_code, audio.language_name) == ("audio", "und", "default")
    listed = sdk.manage_videos.list_media(limit=50, offset=1, order_by="desc")
    [same] = [m for m in listed.data if m.id == made.id]
    assert [t.status for t in same.tracks] == ["Ready", "Ready"]
    assert listed.pagination.total_records >= 1
    info = sdk.manage_videos.retrieve_media_input_info(media_id=made.id).data
    assert (info.configuration.url, info.file.container_format) == ("https://example.com/video.mp4", "mp4")


def test_a_file_that_is_no_video_is_failed_for_the_sdk_too(sdk, running):
    made = created(sdk)
    running.deliver(made.id, footage.make("text"))
    assert sdk.manage_videos.get_media(media_id=made.id).data.status == "Failed"


EDITED = [
    {
        "type": "video",
        "url": "https://example.com/video.mp4",
        "start_time": 0,
        "end_time": 60,
        "intro_url": "https://example.com/intro.mp4",
        "expunge_segments": ["4-6", "15-19"],
        "segments": [
            {"url": "https://example.com/a.mp4", "insert_at": 2},
            {"url": "https://example.com/b.mp4", "insert_at_end": True},
        ],
    },
    {
        "type": "watermark",
        "url": "https://example.com/mark.png",
        "placement": {"x_align": "left", "x_margin": "10%", "y_align": "top", "y_margin": "10%"},
        "width": "25%",
        "height": "25%",
        "opacity": "80%",
    },
    {
        "type": "audio",
        "swap_track_url": "https://example.com/song.mp3",
        "impose_tracks": [
            {
                "url": "https://example.com/bell.ogg",
                "start_time": 0,
                "end_time": 5,
                "fade_in_level": 1,
                "fade_out_level": 4,
            }
        ],
    },
]


def test_a_media_is_created_with_every_edit_that_the_sdk_can_say(sdk):
    made = sdk.input_video.create_media(inputs=EDITED, access_policy="public", optimize_audio=True).data
    assert [item["type"] for item in made.inputs] == ["video", "watermark", "audio"]
    assert made.optimize_audio is True


def test_a_clip_names_its_source_and_is_listed_with_it(sdk, running):
    source = created(sdk)
    running.deliver(source.id, footage.make("plain"))
    own = [{"type": "video", "url": f"fp_mediaId://{source.id}", "start_time": 2, "end_time": 5}]
    made = sdk.input_video.create_media(inputs=own, access_policy="public").data
    running.fetch(made.id)
    clip = sdk.manage_videos.get_media(media_id=made.id).data
    assert (clip.status, clip.source_media_id, clip.duration) == ("Ready", source.id, 3.0)
    [listed] = sdk.manage_videos.get_media_clips(source_media_id=source.id).data
    assert (listed.id, listed.source_media_id, listed.status) == (made.id, source.id, "Ready")


def test_metadata_is_replaced(sdk):
    made = created(sdk, metadata={"a": "1"})
    changed = sdk.manage_videos.updated_media(media_id=made.id, metadata={"user": "fastpix_admin"}).data
    assert changed.metadata == {"user": "fastpix_admin"}


def test_a_deleted_media_is_not_found_afterwards(sdk):
    made = created(sdk)
    assert sdk.manage_videos.delete_media(media_id=made.id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        sdk.manage_videos.delete_media(media_id=made.id)
    assert caught.value.status_code == 404
    assert caught.value.data.error.message == "media workspace relation not found"


def test_playback_ids_are_created_read_listed_and_deleted(sdk):
    made = created(sdk)
    second = sdk.playback.create_media_playback_id(media_id=made.id, access_policy="private", resolution="720p").data
    assert (second.access_policy, second.resolution) == ("private", "720p")
    assert second.access_restrictions.domains.default_policy == "allow"
    assert sdk.playback.get_playback_id(media_id=made.id, playback_id=second.id).data.id == second.id
    listed = sdk.playback.list_playback_ids(media_id=made.id).data
    assert [p.id for p in listed] == [made.playback_ids[0].id, second.id]
    assert sdk.playback.delete_media_playback_id(media_id=made.id, playback_id=second.id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        sdk.playback.get_playback_id(media_id=made.id, playback_id=second.id)
    assert (caught.value.status_code, caught.value.data.error.message) == (404, "Media/PlaybackId not Found")


def test_playback_ids_are_restricted_once_the_media_is_ready(sdk, running):
    made = created(sdk)
    named = {"media_id": made.id, "playback_id": made.playback_ids[0].id}
    rules = {"default_policy": "deny", "allow": ["example.com"], "deny": []}
    with pytest.raises(errors.FastpixError) as caught:
        sdk.playback.update_domain_restrictions(**named, **rules)
    assert caught.value.status_code == 400
    assert "not ready for updates" in caught.value.body
    running.deliver(made.id, footage.make("plain"))
    assert sdk.playback.update_domain_restrictions(**named, **rules).data.allow == ["example.com"]
    agents = {"default_policy": "allow", "allow": [], "deny": ["curl"]}
    assert sdk.playback.update_user_agent_restrictions(**named, **agents).data.deny == ["curl"]
    kept = sdk.playback.get_playback_id(**named).data.access_restrictions
    assert (kept.domains.default_policy, kept.user_agents.deny) == ("deny", ["curl"])


def test_playlists_in_all_eight_operations(sdk, running):
    films = [created(sdk).id for _ in range(3)]
    for film in films:
        running.deliver(film, footage.make("plain"))
    playlists = sdk.playlist
    ever = {"start_date": "2020-01-01", "end_date": "2100-01-01"}
    smart = playlists.create_a_playlist(
        name="all", reference_id="all", type_="smart", play_order="createdDate ASC", metadata={"created_date": ever},
        limit=1000,
    ).data  # fmt: skip
    assert [one.id for one in smart.media_list][-3:] == films
    assert smart.media_list[-1].duration == pytest.approx(8, abs=0.1)
    made = playlists.create_a_playlist(name="m", reference_id="m", type_="manual", description="by hand").data
    assert (made.type, made.media_count, made.description) == ("manual", 0, "by hand")
    with pytest.raises(errors.FastpixError) as caught:
        playlists.create_a_playlist(name="m", reference_id="m", type_="manual")
    assert caught.value.status_code == 409
    one = {"playlist_id": made.id}
    assert playlists.add_media_to_playlist(**one, media_ids=films).data.media_count == 3
    turned = playlists.change_media_order_in_playlist(**one, media_ids=films[::-1]).data
    assert [entry.id for entry in turned.media_list] == films[::-1]
    left = playlists.delete_media_from_playlist(**one, media_ids=films[1:]).data
    assert [entry.id for entry in left.media_list] == films[:1]
    assert playlists.update_a_playlist(**one, name="n", description="").data.name == "n"
    assert playlists.get_playlist_by_id(**one).data.media_list[0].status == "Ready"
    listed = playlists.get_all_playlists(limit=10, offset=1)
    assert [(p.id, p.media_count) for p in listed.data if p.id == made.id] == [(made.id, 1)]
    assert playlists.delete_a_playlist(**one).success is True


def test_an_upload_is_created_listed_and_cancelled(sdk):
    upload = sdk.input_video.direct_upload_video_media(
        request={"cors_origin": "*", "push_media_settings": {"access_policy": "public", "metadata": {"a": "b"}}}
    ).data
    assert (upload.status, upload.timeout, upload.cors_origin) == ("waiting", 14400, "*")
    assert upload.upload_id in [u.upload_id for u in sdk.manage_videos.list_uploads(limit=50).data]
    cancelled = sdk.manage_videos.cancel_upload(upload_id=upload.upload_id).data
    assert cancelled.status == "cancelled"
    with pytest.raises(errors.FastpixError) as caught:
        sdk.manage_videos.cancel_upload(upload_id=upload.upload_id)
    assert caught.value.status_code == 400
    assert upload.upload_id not in [u.upload_id for u in sdk.manage_videos.list_uploads(limit=50).data]


def test_signing_keys_are_made_read_listed_and_deleted(sdk):
    made = sdk.signing_keys.create_signing_key().data
    assert base64.b64decode(made.private_key).startswith(b"-----BEGIN PRIVATE KEY-----\n")
    read = sdk.signing_keys.get_signing_key_by_id(signing_key_id=made.id).data
    assert read.signing_key_id == made.id
    assert read.public_key.startswith("-----BEGIN PUBLIC KEY-----\n")
    newer = sdk.signing_keys.create_signing_key().data
    listed = sdk.signing_keys.list_signing_keys(limit=2, offset=1)
    assert [k.id for k in listed.data] == [newer.id, made.id]
    assert sdk.signing_keys.list_signing_keys().pagination.total_records == 2
    for key in (made, newer):
        assert sdk.signing_keys.delete_signing_key(signing_key_id=key.id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        sdk.signing_keys.get_signing_key_by_id(signing_key_id=made.id)
    assert caught.value.status_code == 404


def test_wrong_credentials_raise_the_sdks_own_unauthorized_error(running):
    with pytest.raises(errors.FastpixError) as caught:
        running.client(password="wrong").manage_videos.list_media()
    assert caught.value.status_code == 401
    assert caught.value.data.error.code == 401


def test_a_bad_value_raises_an_error_that_names_the_field(sdk):
    with pytest.raises(errors.ValidationErrorResponse) as caught:
        sdk.input_video.create_media(inputs=INPUTS, access_policy="public", chapters=True)
    assert caught.value.fields == [{"field": "chapters", "message": "is not supported yet"}]
    with pytest.raises(errors.ValidationErrorResponse) as caught:
        sdk.manage_videos.get_media(media_id="not-a-uuid")
    assert caught.value.fields == [{"field": "mediaId", "message": "is invalid"}]


def test_an_unknown_media_raises_not_found(sdk):
    with pytest.raises(errors.FastpixError) as caught:
        sdk.manage_videos.get_media(media_id=str(uuid.uuid4()))
    assert caught.value.status_code == 404


def test_the_async_client_works_as_the_sync_one(running):
    async def both():
        async with running.client() as sdk:
            made = await sdk.input_video.create_media_async(inputs=INPUTS, access_policy="public")
            return made.data.id, (await sdk.manage_videos.get_media_async(media_id=made.data.id)).data.id

    made, read = asyncio.run(both())
    assert made == read


def test_an_older_sdk_reads_the_duration_that_it_can_parse(sdk, running):
    made = created(sdk)
    running.deliver(made.id, footage.make("plain"))
    url = f"{running.url}/v1/on-demand/{made.id}"
    for agent, kind in (("fastpix-sdk/python 1.1.5 2.7 1.1.5 fastpix_python", str), ("python-httpx", float)):
        answer = httpx.get(url, headers={"User-Agent": agent}, auth=(USERNAME, PASSWORD))
        assert isinstance(answer.json()["data"]["duration"], kind)


def test_tracks_are_added_changed_and_deleted(sdk, running):
    made = created(sdk)
    running.deliver(made.id, footage.make("plain"))
    videos = sdk.manage_videos
    url = running.serve("a.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    wish = {"url": url, "type": "subtitle", "language_code": "en", "language_name": "English", "title": "Captions"}
    added = videos.add_media_track(media_id=made.id, tracks=wish).data
    assert (added.type, added.url, added.language_code, added.language_name) == ("subtitle", url, "en", "English")
    with pytest.raises(errors.FastpixError) as caught:
        videos.add_media_track(media_id=made.id, tracks=wish)
    assert caught.value.status_code == 400
    assert "duplicate language name" in caught.value.body
    running.make_track(added.id)
    track = next(t for t in videos.get_media(media_id=made.id).data.tracks if t.id == added.id)
    assert (track.type, track.status, track.language_name) == ("subtitle", "available", "English")
    assert videos.get_media(media_id=made.id).data.subtitle_available is True
    changed = videos.update_media_track(
        media_id=made.id, track_id=added.id, language_code="en-GB", language_name="British", title="C"
    ).data
    assert (changed.id, changed.language_code, changed.language_name) == (added.id, "en-GB", "British")
    assert videos.delete_media_track(media_id=made.id, track_id=added.id).success is True
    with pytest.raises(errors.FastpixError) as caught:
        videos.delete_media_track(media_id=made.id, track_id=added.id)
    assert caught.value.status_code == 404


def test_static_files_and_the_source_are_asked_for_and_taken_away(sdk, running):
    made = created(sdk, mp4_support="capped_4k")
    running.deliver(made.id, footage.make("plain"))
    videos = sdk.manage_videos
    running.make_files(made.id)
    [file] = videos.get_media(media_id=made.id).data.mp4_support
    assert (file.type, file.status, file.ext, file.width, file.height) == ("capped_4k", "ready", "mp4", 640, 360)
    with pytest.raises(errors.FastpixError) as caught:
        videos.updated_mp4_support(media_id=made.id, mp4_support="capped_4k")
    assert caught.value.status_code == 400
    assert "mp4Support value already exists" in caught.value.body
    both = videos.updated_mp4_support(media_id=made.id, mp4_support="audioOnly,capped_4k").data
    assert [(f.type, f.status) for f in both.mp4_support] == [("capped_4k", "ready"), ("audioOnly", "preparing")]
    for generation, wanted in (("1", "audioOnly,capped_4k"), ("2", both.mp4_support)):
        answer = httpx.get(
            f"{running.url}/v1/on-demand/{made.id}",
            auth=(USERNAME, PASSWORD),
            headers={"X-Fastpix-Api-Generation": generation},
        )
        shown = answer.json()["data"]["mp4Support"]
        assert shown == wanted if generation == "1" else len(shown) == 2
    assert not videos.updated_mp4_support(media_id=made.id, mp4_support="none").data.mp4_support
    assert videos.updated_source_access(media_id=made.id, source_access=True).data.source_access is True
    assert videos.updated_source_access(media_id=made.id, source_access=False).data.source_access is False
