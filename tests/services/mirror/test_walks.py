"""Walks over lists see everything, whatever pages claim, and come to an end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from batchops.models import SyncRun
from batchops.sandbox.embedded import EmbeddedSandbox
from batchops.services import vendor
from batchops.services.mirror import list_pages, sync
from batchops.services.runs import preflight
from batchops.syllable.errors import MalformedReply, NotFound, Refused
from batchops.syllable.records import CampaignRecord, Page
from tests.services.mirror.lists import fill, list_requests


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "_largest", {})
    monkeypatch.setattr("batchops.syllable.client._delay", lambda *_: 0.01)


def walked() -> list[str]:
    """The ids of a walk over all batches, each as often as it came."""
    pages = list_pages.all_batches(vendor.client())
    return [item.batch_id for fetched in pages for item in fetched.page.items]


@pytest.mark.parametrize("total_count", ["listed", "hidden", "endless", "short"])
@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 40, 95])
def test_every_batch_comes_whatever_total_is_claimed(
    sandbox: EmbeddedSandbox, settings: Settings, total_count: str, number: int
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 10
    ids = fill(sandbox, number)
    sandbox.set_faults(total_count=total_count)
    assert walked() == ids
    assert len(list_requests(sandbox)) <= math.ceil(number / 10) + 8


@pytest.mark.parametrize("total_count", ["listed", "hidden", "endless"])
@pytest.mark.parametrize("handling", ["refuse", "cut", "cut_silently"])
def test_every_batch_comes_however_large_pages_are_dealt_with(
    sandbox: EmbeddedSandbox, settings: Settings, total_count: str, handling: str
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 5_000
    ids = fill(sandbox, 95)
    sandbox.set_faults(max_limit=30, large_limit=handling, total_count=total_count)
    assert walked() == ids


def test_a_size_that_was_refused_is_remembered_by_all_walks(sandbox: EmbeddedSandbox) -> None:
    fill(sandbox, 120)
    sandbox.set_faults(max_limit=50)
    walked()
    assert [one["limit"] for one in list_requests(sandbox)[:4]] == ["500", "200", "100", "50"]
    sandbox.reset_journal()
    walked()
    next(list_pages.recent_batches(vendor.client()))
    assert {one["limit"] for one in list_requests(sandbox)} == {"50"}
    assert {one["status"] for one in list_requests(sandbox)} == {200}


def test_a_larger_size_is_tried_again_some_day(
    sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(max_limit=50)
    walked()
    sandbox.set_faults(max_limit=0)
    sandbox.reset_journal()
    monkeypatch.setattr(list_pages, "REMEMBERED_SECONDS", 0.0)
    walked()
    assert {one["limit"] for one in list_requests(sandbox)} == {"500"}


@pytest.mark.django_db(transaction=True)
def test_small_pages_make_it_worth_while_to_read_more_batches_one_by_one(
    sandbox: EmbeddedSandbox,
) -> None:
    fill(sandbox, 300)
    sync.run_sync(SyncRun.Kind.FULL)
    assert not preflight.better_one_by_one(60)
    sandbox.set_faults(max_limit=5)
    sync.run_sync(SyncRun.Kind.FULL)
    assert preflight.better_one_by_one(60)


def test_the_list_of_campaigns_falls_back_by_itself(sandbox: EmbeddedSandbox) -> None:
    for number in range(2, 30):
        sandbox.add_campaign(id=number)
    sandbox.set_faults(max_limit=10)
    pages = list_pages.all_campaigns(vendor.client())
    assert [item.id for fetched in pages for item in fetched.page.items] == [*range(1, 30)]


@pytest.mark.parametrize("handling", ["refuse", "cut"])
def test_a_size_that_is_no_longer_allowed_in_the_middle_loses_nothing(
    sandbox: EmbeddedSandbox, settings: Settings, handling: str
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 20
    ids = fill(sandbox, 200)
    seen = []
    for number, fetched in enumerate(list_pages.all_batches(vendor.client())):
        seen += [item.batch_id for item in fetched.page.items]
        if number == 0:
            sandbox.set_faults(max_limit=7, large_limit=handling)
    assert set(seen) == set(ids)


@pytest.mark.parametrize("total_count", ["listed", "hidden", "endless"])
@pytest.mark.parametrize("kind", ["batches", "campaigns"])
def test_a_list_that_repeats_itself_for_ever_has_an_end(
    sandbox: EmbeddedSandbox, settings: Settings, kind: str, total_count: str
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 10
    fill(sandbox, 30)
    sandbox.set_faults(repeated_page=1, total_count=total_count)
    walk: Callable[..., Iterator[Any]] = getattr(list_pages, f"all_{kind}")
    assert len(list(walk(vendor.client()))) <= 4
    assert len(list_requests(sandbox, kind)) <= 8


def test_what_is_refused_at_every_size_is_an_error(sandbox: EmbeddedSandbox) -> None:
    sandbox.set_faults(error_status=1, status=422)
    with pytest.raises(Refused):
        walked()
    assert len(list_requests(sandbox)) < 10


# Without a vendor ----------------------------------------------------------------------------

Answer = Callable[[int, int], "Page[CampaignRecord]"]


def page(number: int, size: int, ids: list[int], total: int | None = None) -> Page[CampaignRecord]:
    pages = None if total is None else -(-total // size)
    return Page(tuple(CampaignRecord(one) for one in ids), (), number, size, pages, total)


def ids_of(answer: Answer, wanted: int = 10) -> list[int]:
    walk = list_pages._walk(answer, ("vendor", "list"), wanted, 3, lambda: None)
    return [item.id for fetched in walk for item in fetched.page.items]


@given(
    number=st.integers(0, 60),
    wanted=st.integers(1, 1_000),
    largest=st.integers(1, 40),
    claimed=st.none() | st.integers(0, 500),
    cuts=st.booleans(),
    told=st.none() | st.integers(0, 100),
)
def test_any_honest_rows_under_any_claims_are_all_seen(
    number: int, wanted: int, largest: int, claimed: int | None, cuts: bool, told: int | None
) -> None:
    list_pages._largest.clear()

    def answer(which: int, size: int) -> Page[CampaignRecord]:
        if size > largest and not cuts:
            raise Refused("limit: too large", http_status=422)
        given_size = min(size, largest)
        first = which * given_size
        rows = [*range(number)][first : first + given_size]
        return Page(
            tuple(map(CampaignRecord, rows)),
            (),
            which,
            given_size if told is None else told,
            claimed,
            claimed,
        )

    assert sorted(set(ids_of(answer, wanted))) == [*range(number)]


def test_a_list_of_ever_new_things_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_pages, "MAX_PAGES", 30)
    with pytest.raises(MalformedReply, match="has no end"):
        ids_of(lambda number, size: page(number, size, [number]))


@pytest.mark.parametrize(
    ("error", "total"),
    [(NotFound, None), (NotFound, 20), (Refused, 20), (MalformedReply, 20)],
)
def test_a_page_behind_the_last_may_be_an_error(
    error: type[NotFound | Refused | MalformedReply], total: int | None
) -> None:
    def answer(number: int, size: int) -> Page[CampaignRecord]:
        if number > 1:
            raise error("There is no such page.")
        return page(number, size, [*range(20)][number * 10 : number * 10 + 10], total)

    assert ids_of(answer) == [*range(20)]


def test_a_page_that_is_refused_whatever_its_size_is_asked_for_no_further() -> None:
    asked = []

    def answer(number: int, size: int) -> Page[CampaignRecord]:
        asked.append((number, size))
        if number:
            raise Refused("page: too deep")
        return page(number, size, [*range(10)], 100)

    with pytest.raises(Refused, match="too deep"):
        ids_of(answer)
    assert {size for _, size in asked} == {10}
    assert len(asked) < 8


def test_a_page_size_that_tells_the_number_of_rows_is_no_change_of_size() -> None:
    def answer(number: int, size: int) -> Page[CampaignRecord]:
        rows = [*range(25)][number * size : number * size + size]
        return Page(tuple(map(CampaignRecord, rows)), (), number, len(rows), 3, 25)

    assert ids_of(answer) == [*range(25)]


def test_pages_come_in_order_and_none_is_lost_to_a_slow_one(
    sandbox: EmbeddedSandbox, settings: Settings
) -> None:
    settings.SYLLABLE_PAGE_SIZE = 5
    ids = fill(sandbox, 60)
    sandbox.set_faults(jitter=0.05, total_count="endless")
    assert walked() == ids
