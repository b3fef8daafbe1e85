"""The reviewer's report: by person, by campaign, by day, with a chart."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from batchops.admin.trail import report_chart
from batchops.models import Action
from batchops.services.trail import reports
from batchops.services.trail.reports import DayTally, Tally
from tests.admin.trail.trail import address, write

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MONDAY = dt.datetime(2026, 3, 23, tzinfo=BERLIN)


@pytest.fixture
def reader(client: Client, auditor: User) -> Client:
    client.force_login(auditor)
    client.cookies["time_zone"] = "Europe/Berlin"
    return client


def week() -> reports.Report:
    return reports.report(MONDAY, MONDAY + dt.timedelta(days=7), BERLIN)


@pytest.mark.django_db
def test_entries_are_counted_by_person_campaign_and_day() -> None:
    write(at=MONDAY)
    write(at=MONDAY + dt.timedelta(hours=23, minutes=59), name="oscar", campaign_id=8)
    write(
        Action.BATCH_REFUSED,
        at=MONDAY + dt.timedelta(days=6, hours=23),
        outcome="refused",
        campaign_name="Summer reminders",
    )
    write(at=MONDAY + dt.timedelta(days=7))
    report = week()
    assert report.total == Tally(entries=3, applied=2, trouble=1)
    assert [(row.name, row.tally.entries) for row in report.people] == [("olivia", 2), ("oscar", 1)]
    assert [(row.campaign_id, row.name) for row in report.campaigns] == [
        (7, "Summer reminders"),
        (8, "Spring reminders"),
    ]
    assert [day.tally.entries for day in report.days] == [2, 0, 0, 0, 0, 0, 1]
    assert report.days[0].day == dt.date(2026, 3, 23)


@pytest.mark.django_db
def test_denied_tries_and_outside_changes_are_counted_apart() -> None:
    write(Action.CHANGE_DENIED, at=MONDAY, outcome="denied")
    write(Action.BATCH_CHANGED_OUTSIDE, at=MONDAY, outcome="outside", name="jane@example.com")
    write(Action.CHANGE_CONFIRMED, at=MONDAY, outcome="")
    assert week().total == Tally(entries=3, confirmed=1, outside=1, denied=1)


@pytest.mark.django_db
@pytest.mark.parametrize("days", [0, -1, 400])
def test_a_span_that_is_empty_upside_down_or_too_long_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match="report"):
        reports.report(MONDAY, MONDAY + dt.timedelta(days=days), BERLIN)


@pytest.mark.django_db
def test_the_busiest_are_listed_and_the_report_says_that_it_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "ROWS_LIMIT", 2)
    for name in ("olivia", "oscar", "oscar", "amir", "amir", "amir"):
        write(at=MONDAY, name=name)
    report = week()
    assert [row.name for row in report.people] == ["amir", "oscar"]
    assert report.is_cut


@pytest.mark.django_db
def test_the_page_shows_tables_and_a_chart_without_script_or_style(reader: Client) -> None:
    write(at=MONDAY)
    response = reader.get(address("report", since="2026-03-23", until="2026-03-29"))
    page = response.content.decode()
    assert "From 23 Mar 2026 to 29 Mar 2026" in page
    assert 'class="chart-well"' in page
    assert "23 Mar 2026: 1 entry" in page
    assert " style=" not in page
    assert address("person", name="olivia") in page


@pytest.mark.django_db
def test_without_days_the_report_covers_the_last_thirty(reader: Client) -> None:
    write()
    report = reader.get(address("report")).context["report"]
    assert len(report.days) == 30
    assert report.days[-1].tally.entries >= 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"since": "2026-03-24", "until": "2026-03-20"}, "before the first day"),
        ({"since": "2026-03-24"}, "This field is required."),
        ({"since": "2020-01-01", "until": "2026-03-20"}, "a year at most"),
        ({"since": "soon", "until": "2026-03-20"}, "YYYY-MM-DD"),
    ],
)
def test_days_that_cannot_be_used_are_refused_at_their_field(
    reader: Client, query: dict[str, str], message: str
) -> None:
    response = reader.get(address("report", **query))
    assert message in response.content.decode()
    assert "report" not in response.context


@pytest.mark.django_db
def test_the_report_asks_the_same_number_of_questions_however_much_there_is(
    reader: Client,
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            reader.get(address("report", since="2026-03-23", until="2026-03-29"))
        return len(queries)

    write(at=MONDAY)
    few = count()
    for number in range(10):
        write(at=MONDAY + dt.timedelta(hours=number), name=f"p{number}", campaign_id=number)
    assert count() <= few


@given(
    st.lists(
        st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)).map(
            lambda pair: Tally(entries=max(pair), trouble=min(pair))
        ),
        max_size=370,
    )
)
def test_every_bar_of_the_chart_lies_within_it(tallies: list[Tally]) -> None:
    days = [
        DayTally(dt.date(2026, 1, 1) + dt.timedelta(days=index), tally)
        for index, tally in enumerate(tallies)
    ]
    chart = report_chart.chart(days)
    assert len(chart.labels) <= 8
    for bar in chart.bars:
        assert chart.left <= float(bar.x)
        assert float(bar.x) + float(bar.width) <= chart.width + 0.02
        assert float(bar.trouble_y) >= 9.9
        assert float(bar.well_y) + float(bar.well_height) <= chart.base + 0.02
        assert float(bar.trouble_y) + float(bar.trouble_height) <= float(bar.well_y) + 0.02
