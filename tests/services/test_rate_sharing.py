"""Workers keep to one rate together: turns that never overlap, and what one learns all know."""

from __future__ import annotations

import math
import time

import pytest
from django.db import DatabaseError
from pytest_django import Settings

from batchops.models import VendorRate
from batchops.services.rate_sharing import RateSharing
from batchops.syllable.rate.limiter import RateLimiter, Use

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_vendor(settings: Settings) -> None:
    settings.SYLLABLE_BASE_URL = URL


def limited(refused: int = 1) -> RateLimiter:
    """One that was refused lately and has something to send."""
    limiter = RateLimiter()
    for _ in range(refused):
        leave = limiter.take(Use.WRITE)
        assert leave is not None
        limiter.refused(leave)
    assert limiter.take(Use.WRITE, timeout=0) is None
    return limiter


def test_without_a_limit_the_database_is_left_alone(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    sharing = RateSharing(RateLimiter())
    sharing.step()
    with django_assert_num_queries(0):  # type: ignore[operator]
        sharing.step()
    assert not VendorRate.objects.exists()


def test_two_workers_send_in_turns() -> None:
    first, second = limited(), limited()
    one, other = RateSharing(first), RateSharing(second)
    one.step()
    other.step()
    until = time.monotonic() + 1.5
    moments: dict[str, list[float]] = {name: [] for name in ("first", "second")}
    while time.monotonic() < until:
        for name, limiter in (("first", first), ("second", second)):
            if (leave := limiter.take(Use.WRITE, timeout=0)) is not None:
                moments[name].append(leave.at)
        time.sleep(0.001)
    assert min(map(len, moments.values())) >= 5
    assert max(moments["first"]) < min(moments["second"])


def test_what_one_worker_learnt_the_other_knows_with_its_next_turn() -> None:
    first, second = limited(), limited(2)
    RateSharing(second).step()
    assert second.rate < first.rate
    RateSharing(first).step()
    assert first.rate == pytest.approx(second.rate)


def test_a_worker_that_starts_begins_gently_with_what_is_known() -> None:
    RateSharing(limited()).step()
    newcomer = RateLimiter()
    RateSharing(newcomer).step()
    known = VendorRate.objects.get(pk=URL).estimate["ceiling"]
    assert newcomer.rate == pytest.approx(0.75 * known)


def test_a_rate_that_is_known_beforehand_is_shared_before_anything_was_refused() -> None:
    def known() -> RateLimiter:
        limiter = RateLimiter(10.0)
        assert limiter.take(Use.WRITE) is not None
        assert limiter.take(Use.WRITE, timeout=0) is None
        return limiter

    first, second = known(), known()
    RateSharing(first).step()
    turns_of_first = VendorRate.objects.get(pk=URL).taken_until
    RateSharing(second).step()
    assert VendorRate.objects.get(pk=URL).taken_until > turns_of_first
    assert second.rate == 10.0
    newcomer = RateLimiter(10.0)
    RateSharing(newcomer).step()
    assert newcomer.rate == 10.0


def test_another_vendor_is_another_rate(settings: Settings) -> None:
    RateSharing(limited()).step()
    settings.SYLLABLE_BASE_URL = "http://127.0.0.1:2"
    newcomer = RateLimiter()
    RateSharing(newcomer).step()
    assert math.isinf(newcomer.rate)


def test_while_the_database_is_gone_the_rate_alone_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = limited()
    sharing = RateSharing(limiter)
    sharing.step()

    def gone(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(sharing, "_take_turn", gone)
    monkeypatch.setattr(sharing, "_ends_at", float("-inf"))
    with pytest.raises(DatabaseError):
        sharing.step()
    assert limiter.take(Use.WRITE, timeout=1) is not None
