"""What headers tell of a vendor's limits."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.syllable.rate.headers import Advice, advice

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
EPOCH = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, None),
        ({"RateLimit-Remaining": "50", "RateLimit-Reset": "20"}, Advice(2.5, 20)),
        ({"X-RateLimit-Remaining": "50", "X-RateLimit-Reset": "20"}, Advice(2.5, 20)),
        (
            {"X-RateLimit-Remaining": "50", "X-RateLimit-Reset": str(EPOCH + 20)},
            Advice(2.5, 20),
        ),
        (
            {"X-RateLimit-Remaining": "50", "X-RateLimit-Reset": f"{EPOCH + 20}000"},
            Advice(2.5, 20),
        ),
        (
            {
                "X-RateLimit-Remaining": "50",
                "X-RateLimit-Reset": "Mon, 01 Jun 2026 12:00:20 GMT",
            },
            Advice(2.5, 20),
        ),
        ({"RateLimit": '"default";r=50;t=20'}, Advice(2.5, 20)),
        ({"RateLimit": '"hour";r=900;t=100, "burst";r=4;t=10'}, Advice(0.4, 10)),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "20"}, Advice(0.05, 20)),
        # Whole seconds are too coarse for so short a window.
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "1"}, None),
        # A day's quota need not be spread over the day.
        ({"RateLimit-Remaining": "9000", "RateLimit-Reset": "86400"}, None),
        ({"RateLimit-Remaining": "50"}, None),
        ({"RateLimit-Remaining": "many", "RateLimit-Reset": "soon"}, None),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": str(EPOCH - 5)}, None),
    ],
)
def test_the_usual_headers_are_understood(headers: dict[str, str], told: Advice | None) -> None:
    assert advice(headers, NOW) == told


@given(
    st.dictionaries(
        st.sampled_from(
            ["RateLimit", "RateLimit-Remaining", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
        ),
        st.text('0123456789.;,rt="e- ') | st.text(),
    )
)
def test_whatever_they_say_it_is_a_rate_or_nothing(headers: dict[str, str]) -> None:
    told = advice(headers, NOW)
    assert told is None or (told.rate > 0 and told.seconds > 0)
