"""What the shared options accept where create-media and direct uploads differ."""

import json

import pytest
from pydantic import ValidationError

from fastpix_server.media.edits import NOTHING, Length, Order, Overlay, from_json, to_json
from fastpix_server.media.schemas import CreateMedia, PushMediaSettings, UpdateMedia

INPUTS = [{"type": "video", "url": "https://example.com/a.mp4"}]


def locations(model, body):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    return {error["loc"] for error in caught.value.errors()}


def test_an_upload_needs_no_inputs_and_takes_its_times_beside_them_or_in_them():
    assert PushMediaSettings.model_validate({}).inputs == []
    beside = PushMediaSettings.model_validate({"startTime": 1.5, "endTime": 3})
    inside = PushMediaSettings.model_validate({"inputs": [{"type": "video", "startTime": 1.5, "endTime": 3}]})
    assert beside.order == inside.order == Order(start_s=1.5, end_s=3.0)
    assert PushMediaSettings.model_validate({}).order == NOTHING
    assert locations(PushMediaSettings, {"startTime": 3, "endTime": 3}) == {("endTime",)}


EVERYTHING = [
    {
        "type": "video",
        "startTime": 1,
        "endTime": 60,
        "introUrl": "https://a.b/intro.mp4",
        "outroUrl": "https://a.b/intro.mp4",
        "expungeSegments": ["4-6", "15 - 19.25"],
        "segments": [{"url": "https://a.b/1.mp4", "insertAt": 2}, {"url": "https://a.b/2.mp4", "insertAtEnd": True}],
    },
    {
        "type": "watermark",
        "url": "https://a.b/mark.png",
        "placement": {"xAlign": "right", "xMargin": "10%", "yAlign": "bottom", "yMargin": "40px"},
        "width": "25%",
        "opacity": "80%",
    },
    {
        "type": "audio",
        "swapTrackUrl": "https://a.b/song.mp3",
        "imposeTracks": [{"url": "https://a.b/bell.mp3", "startTime": 3, "fadeInLevel": 1, "fadeOutLevel": 2}],
    },
]


def test_an_order_is_read_out_of_all_inputs_and_survives_its_storage():
    settings = PushMediaSettings.model_validate({"inputs": EVERYTHING, "optimizeAudio": True})
    order = settings.order
    assert [file.url[12:] for file in order.files] == [
        "intro.mp4",
        "1.mp4",
        "2.mp4",
        "mark.png",
        "song.mp3",
        "bell.mp3",
    ]
    assert (order.intro, order.outro, order.swap) == (1, 1, 5)
    assert order.removed_s == ((4.0, 6.0), (15.0, 19.25))
    assert [(item.file, item.at_s) for item in order.inserts] == [(2, 2.0), (3, None)]
    assert (order.marks[0].x_margin, order.marks[0].y_margin) == (Length(0.1, "part"), Length(40, "pixels"))
    assert (order.marks[0].width, order.marks[0].height, order.marks[0].opacity) == (Length(0.25, "part"), None, 0.8)
    assert order.overlays == (Overlay(6, 3.0, None, 1.0, 2.0),)
    names = ("intro", "outro", "expungeSegments", "segments", "swapTrack", "imposeTracks")
    assert order.events == [f"video.media.{name}.ready" for name in names]
    assert from_json(json.loads(json.dumps(to_json(order)))) == order
    stored = settings.model_dump(by_alias=True, mode="json", exclude_none=True)
    assert PushMediaSettings.model_validate(stored) == settings
    assert from_json(to_json(NOTHING)) == NOTHING


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({"type": "video", "endTime": 0}, ("video", "endTime")),
        ({"type": "video", "startTime": 43201}, ("video", "startTime")),
        ({"type": "video", "expungeSegments": ["6-4"]}, ("video", "expungeSegments", 0)),
        ({"type": "video", "expungeSegments": ["0-1"] * 51}, ("video", "expungeSegments")),
        ({"type": "video", "introUrl": "file:///etc/passwd"}, ("video", "introUrl")),
        ({"type": "video", "segments": [{"url": "https://a.b/c"}]}, ("video", "segments", 0)),
        ({"type": "video", "segments": [{"url": "https://a.b/c", "insertAt": 1, "insertAtEnd": True}]},
         ("video", "segments", 0)),
        ({"type": "watermark", "url": "fp_mediaId://" + "0" * 36}, ("watermark", "url")),
        ({"type": "watermark", "url": "https://a.b/c", "width": "0%"}, ("watermark", "width")),
        ({"type": "watermark", "url": "https://a.b/c", "width": "101%"}, ("watermark", "width")),
        ({"type": "watermark", "url": "https://a.b/c", "opacity": "0%"}, ("watermark", "opacity")),
        ({"type": "watermark", "url": "https://a.b/c", "placement": {"xMargin": "wide"}},
         ("watermark", "placement", "xMargin")),
        ({"type": "audio"}, ("audio",)),
        ({"type": "audio", "imposeTracks": [{"url": "https://a.b/c", "startTime": 2, "endTime": 2}]},
         ("audio", "imposeTracks", 0, "endTime")),
        ({"type": "subtitle", "url": "https://a.b/c", "languageName": "x"}, ("subtitle", "languageCode")),
    ],
)  # fmt: skip
def test_what_makes_no_sense_in_an_input_is_named(item, place):
    assert locations(PushMediaSettings, {"inputs": [item]}) == {("inputs", 0, *place)}


def test_inputs_are_bounded():
    for many in ([EVERYTHING[0]] * 2, [EVERYTHING[1]] * 5, [EVERYTHING[2]] * 2):
        assert locations(PushMediaSettings, {"inputs": many}) == {("inputs",)}
    segments = [{"url": f"https://a.b/{n}", "insertAtEnd": True} for n in range(20)]
    marks = [{"type": "watermark", "url": f"https://a.b/m{n}"} for n in range(4)]
    video = {"type": "video", "segments": segments, "introUrl": "https://a.b/i"}
    assert locations(PushMediaSettings, {"inputs": [video, *marks]}) == {("inputs",)}


def test_null_means_that_nothing_was_given():
    assert UpdateMedia.model_validate({"title": None, "metadata": None}) == UpdateMedia()
    assert CreateMedia.model_validate({"inputs": INPUTS, "maxResolution": None}).max_resolution == "1080p"
