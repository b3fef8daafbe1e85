"""The review desk: what is not yet reviewed, marks, samples and sign-offs."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from batchops.models import Action, AuditEntry
from batchops.services.trail import reports, search
from batchops.services.trail.trail_filter import TrailFilter
from tests.admin.trail.trail import address, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer(client: Client, auditor: User) -> Client:
    client.force_login(auditor)
    return client


def open_entries() -> set[int]:
    page = search.page(TrailFilter(not_reviewed=True))
    return {entry.pk for entry in page.entries}


def test_chosen_entries_are_marked_as_reviewed_with_a_comment(reviewer: Client) -> None:
    first, second = write(), write()
    response = reviewer.post(
        address("review"),
        {"entry": [first.pk], "comment": "Asked olivia", "scope": "selected"},
        follow=True,
    )
    assert "1 entry is marked as reviewed" in response.content.decode()
    review = AuditEntry.objects.get(action=Action.AUDIT_REVIEWED)
    assert (review.actor_name, review.reason) == ("audrey", "Asked olivia")
    assert review.detail["sequences"] == [first.pk]
    assert first.pk not in open_entries()
    assert second.pk in open_entries()


def test_all_that_match_the_filter_are_marked_and_the_filter_is_kept(reviewer: Client) -> None:
    write(name="oscar")
    kept = write()
    response = reviewer.post(
        address("review", person="oscar"), {"comment": "Checked", "scope": "filter"}
    )
    assert response["Location"] == address(person="oscar")
    review = AuditEntry.objects.get(action=Action.AUDIT_REVIEWED)
    assert review.detail["entries"] == 1
    assert "oscar" in review.detail["filter"]
    assert kept.pk in open_entries()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"entry": ["1"], "comment": " ", "scope": "selected"}, "This field is required."),
        ({"entry": [], "comment": "x", "scope": "selected"}, "nothing to review"),
        ({"entry": ["x", "-1"], "comment": "x", "scope": "selected"}, "cannot be read"),
        ({"entry": ["1"], "comment": "x" * 2_001, "scope": "selected"}, "at most 2000"),
    ],
)
def test_a_review_that_says_too_little_is_refused_at_its_field(
    reviewer: Client, data: dict[str, object], message: str
) -> None:
    write()
    response = reviewer.post(address("review"), data)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_REVIEWED).exists()


def test_what_was_chosen_stays_chosen_when_the_comment_is_missing(reviewer: Client) -> None:
    entry = write()
    page = reviewer.post(address("review"), {"entry": [entry.pk], "scope": "selected"})
    assert f'aria-label="Select entry {entry.pk}" checked' in page.content.decode()


@pytest.mark.parametrize("wrong", ["x", "-1", "1.0", "\u0663", "9" * 40])
def test_a_selection_that_cannot_be_read_marks_nothing(reviewer: Client, wrong: str) -> None:
    entry = write()
    form = {"entry": [str(entry.pk), wrong], "comment": "seen", "scope": "selected"}
    page = reviewer.post(address("review"), form)
    assert "cannot be read, so nothing was marked" in page.content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_REVIEWED).exists()


def test_a_filter_that_cannot_be_used_marks_nothing(reviewer: Client) -> None:
    write()
    reviewer.post(address("review", group="weather"), {"comment": "x", "scope": "filter"})
    assert not AuditEntry.objects.filter(action=Action.AUDIT_REVIEWED).exists()


def test_reviewing_what_one_did_oneself_is_said(reviewer: Client) -> None:
    own = write(name="audrey")
    response = reviewer.post(
        address("review"), {"entry": [own.pk], "comment": "x", "scope": "selected"}, follow=True
    )
    assert "what you did yourself" in response.content.decode()


def test_the_desk_counts_what_is_open_and_leads_there_in_one_click(reviewer: Client) -> None:
    entries = [write(), write(), write()]
    reviewer.post(
        address("review"), {"entry": [entries[1].pk], "comment": "x", "scope": "selected"}
    )
    response = reviewer.get(address("desk"))
    assert response.context["open_count"] == AuditEntry.objects.count() - 1
    assert address(not_reviewed="on") in response.content.decode()
    listed = reviewer.get(address(not_reviewed="on")).context["page"].entries
    assert entries[1].pk not in [entry.pk for entry in listed]
    assert entries[0].pk in [entry.pk for entry in listed]


def test_the_count_of_open_entries_is_right_after_any_reviews(reviewer: Client) -> None:
    entries = [write() for _ in range(12)]
    for chosen in (entries[2:5], entries[3:8], entries[10:11]):
        reviewer.post(
            address("review"),
            {"entry": [entry.pk for entry in chosen], "comment": "x", "scope": "selected"},
        )
        counted = search.entries(TrailFilter(not_reviewed=True)).count()
        assert reports.not_reviewed_count() == counted


def test_a_random_sample_is_drawn_recorded_and_shown(reviewer: Client) -> None:
    for _ in range(30):
        write()
    response = reviewer.post(address("draw"), {"size": "5"}, follow=True)
    drawn = AuditEntry.objects.get(action=Action.AUDIT_SAMPLED)
    assert response.redirect_chain == [(address("sample", drawn.pk), 302)]
    listed = {entry.pk for entry in response.context["entries"]}
    assert listed == set(drawn.detail["sequences"])
    assert len(listed) == 5


def test_a_sample_can_be_reviewed_where_it_is_shown(reviewer: Client) -> None:
    write()
    reviewer.post(address("draw"), {"size": "1"})
    drawn = AuditEntry.objects.get(action=Action.AUDIT_SAMPLED)
    data = {"sample": drawn.pk, "entry": drawn.detail["sequences"], "scope": "selected"}
    refused = reviewer.post(address("review"), data)
    assert f"Random sample {drawn.pk}" in refused.content.decode()
    done = reviewer.post(address("review"), {**data, "comment": "Fine"})
    assert done["Location"] == address("sample", drawn.pk)
    assert drawn.detail["sequences"][0] not in open_entries()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"size": "0"}, "greater than or equal to 1"),
        ({"size": "many"}, "whole number"),
        ({"size": "100000"}, "less than or equal to 1000"),
        ({"size": "3", "since": "2026-03-24", "until": "2026-03-20"}, "before the first day"),
        ({"size": "3", "until": "1999-01-01"}, "nothing to draw from"),
    ],
)
def test_a_sample_of_nothing_is_refused(
    reviewer: Client, data: dict[str, str], message: str
) -> None:
    write()
    assert message in reviewer.post(address("draw"), data).content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_SAMPLED).exists()


def test_an_entry_that_is_no_sample_has_no_sample_page(reviewer: Client) -> None:
    assert reviewer.get(address("sample", write().pk)).status_code == 404


def test_a_period_is_signed_off_and_counts_as_reviewed(reviewer: Client) -> None:
    old = write(at=timezone.now() - dt.timedelta(days=3))
    fresh = write()
    day = (timezone.now() - dt.timedelta(days=3)).date().isoformat()
    response = reviewer.post(
        address("sign_off"), {"since": day, "until": day, "comment": "All seen"}, follow=True
    )
    assert "All seen" in response.content.decode()
    signed = AuditEntry.objects.get(action=Action.AUDIT_SIGNED_OFF)
    assert signed.actor_name == "audrey"
    assert old.pk not in open_entries()
    assert fresh.pk in open_entries()
    page = reviewer.get(address("change", old.pk)).content.decode()
    assert address("change", signed.pk) in page


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"until": "2026-03-24", "comment": "x"}, "This field is required."),
        ({"since": "2026-03-24", "until": "2026-03-20", "comment": "x"}, "before the first day"),
        ({"since": "2026-03-24", "until": "2998-01-01", "comment": "x"}, "once it is over"),
        ({"since": "1999-01-01", "until": "1999-01-02", "comment": "x"}, "nothing to review"),
        ({"since": "2026-03-24", "until": "2026-03-25"}, "This field is required."),
    ],
)
def test_a_sign_off_that_cannot_be_is_refused_at_its_field(
    reviewer: Client, data: dict[str, str], message: str
) -> None:
    write()
    assert message in reviewer.post(address("sign_off"), data).content.decode()
    assert not AuditEntry.objects.filter(action=Action.AUDIT_SIGNED_OFF).exists()
