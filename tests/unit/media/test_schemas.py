"""What the shared options accept where create-media and direct uploads differ."""

import pytest
from pydantic import ValidationError

from fastpix_server.media.schemas import CreateMedia, PushMediaSettings, UpdateMedia

INPUTS = [{"type": "video", "url": "https://example.com/a.mp4"}]


def locations(model, body):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return {error["loc"] for error in caught.value.errors()}


def test_an_upload_that_asks_for_optimized_audio_is_told_that_it_is_not():
    """The official Python SDK asks on every upload, so refusing would refuse all its uploads."""
    assert PushMediaSettings.model_validate({"optimizeAudio": True}).optimize_audio is False
    assert locations(CreateMedia, {"inputs": INPUTS, "optimizeAudio": True}) == {("optimizeAudio",)}
    assert locations(PushMediaSettings, {"optimizeAudio": "yes"}) == {("optimizeAudio",)}


def test_an_upload_needs_no_inputs_and_refuses_cuts():
    assert PushMediaSettings.model_validate({}).inputs == []
    assert PushMediaSettings.model_validate({"inputs": [{"type": "video"}], "startTime": 0}).start_time == 0
    assert locations(PushMediaSettings, {"startTime": 1.5, "endTime": 3}) == {("startTime",), ("endTime",)}
    assert locations(PushMediaSettings, {"inputs": [{"type": "audio"}]}) == {("inputs", 0)}


def test_settings_that_were_stored_read_back_as_they_were():
    settings = PushMediaSettings.model_validate({"title": "t", "accessPolicy": "private", "optimizeAudio": True})
    assert PushMediaSettings.model_validate(settings.model_dump(by_alias=True)) == settings


def test_null_means_that_nothing_was_given():
    assert UpdateMedia.model_validate({"title": None, "metadata": None}) == UpdateMedia()
    assert CreateMedia.model_validate({"inputs": INPUTS, "maxResolution": None}).max_resolution == "1080p"
