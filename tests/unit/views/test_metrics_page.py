"""The page of metrics names exactly what can be asked, and the limits that the guide names are the limits."""

import re
from pathlib import Path

from fastpix_server.views import filters, metrics, spans
from fastpix_server.views.queries import current_views, filter_values, playback_errors, timeseries

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "reference" / "metrics.md").read_text()
GUIDE = (DOCS / "guide" / "video-data.md").read_text()


def test_the_page_defines_every_metric_in_the_contracts_order():
    rows = re.findall(r"^\| `(\w+)` \| (?:number|ms|score|fraction|bit/s|per ms) \|", PAGE, re.MULTILINE)
    assert rows == [metric.id for metric in metrics.METRICS]


def test_the_page_explains_every_id_of_comparisons():
    [table] = re.findall(r"\| id \| is \|\n(.*?)\n\n", PAGE, re.DOTALL)
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == [metric.id for metric in metrics.COMPARED]


def test_the_limits_that_the_guide_names_are_the_limits():
    assert f"at most {spans.SPAN_MAX_S // 86400} days apart" in GUIDE
    assert (
        f"{filters.FILTERS_MAX} filters, {filters.VALUE_MAX_CHARS:,} characters each and {filters.TOTAL_MAX_CHARS:,}"
        in GUIDE
    )
    assert f"more than {timeseries.POINTS_MAX:,} are refused" in GUIDE
    assert f"event is at most {current_views.ACTIVE_S} s old" in GUIDE
    assert f"{filter_values.VALUES_MAX:,} most frequent values" in GUIDE
    assert f"the {playback_errors.ERRORS_MAX} most frequent kinds" in GUIDE
