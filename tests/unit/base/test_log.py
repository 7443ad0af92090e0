"""What a log line looks like."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fastpix_server.base import log


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    out = io.StringIO()
    log.configure("worker", "info", stream=out)
    yield out
    log.configure("test", "warning")


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_with_action_role_level_and_fields(out: io.StringIO):
    log.get("room.module").info("media_ready", media_id="m")
    (line,) = lines(out)
    assert line.pop("at")
    assert line == {
        "action": "media_ready",
        "role": "worker",
        "level": "info",
        "module": "room.module",
        "media_id": "m",
    }


def test_a_level_below_the_threshold_is_silent(out: io.StringIO):
    log.get("m").debug("detail")
    assert not lines(out)


def test_bound_fields_are_in_every_line_of_the_block(out: io.StringIO):
    with log.bound(job_id=7):
        log.get("m").info("inside")
    log.get("m").info("outside")
    assert [line.get("job_id") for line in lines(out)] == [7, None]


def test_an_exception_is_one_line(out: io.StringIO):
    try:
        raise KeyError("x")
    except KeyError:
        log.get("m").exception("it_failed")
    (line,) = lines(out)
    assert "KeyError" in str(line["exception"])


def test_lines_of_libraries_take_the_same_shape(out: io.StringIO):
    logging.getLogger("some.library").warning("careful %s", "now")
    (line,) = lines(out)
    assert (line["action"], line["level"], line["role"]) == ("careful now", "warning", "worker")


def test_talkative_libraries_are_heard_from_warning_on(out: io.StringIO):
    logging.getLogger("procrastinate.worker").info("chatter")
    logging.getLogger("procrastinate.worker").warning("trouble")
    assert [line["action"] for line in lines(out)] == ["trouble"]


def test_a_field_that_is_not_json_is_written_as_text(out: io.StringIO):
    log.get("m").info("odd", value=object)
    assert "class" in str(lines(out)[0]["value"])
