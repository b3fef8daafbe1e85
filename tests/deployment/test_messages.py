"""What batchops says, looked through for slips of the pen; `python -m tools.messages` shows it."""

from __future__ import annotations

import re

import pytest

from tools import messages

pytestmark = pytest.mark.once

TWICE = re.compile(r"\b([A-Za-z]{2,}) \1\b", re.IGNORECASE)
WRONG_ARTICLE = re.compile(r"\ba [aeio]|\ban [bcdfgjklmnpqrstvwxz](?!\b)")
SPACES = re.compile(r"\w {2,}\w|\w [,.;:!](?:\s|$)")


def test_there_is_something_to_read() -> None:
    words = {one.words for one in messages.collected()}
    assert "Give a reason: it becomes part of the audit trail." in words
    assert "Stopped. Requests under way finish; nothing more is sent." in words
    assert any(one.startswith("Nothing is being sent except emergency pauses") for one in words)


@pytest.mark.parametrize("slip", [TWICE, WRONG_ARTICLE, SPACES])
def test_no_word_stands_twice_and_none_beside_the_wrong_article(slip: re.Pattern[str]) -> None:
    sentences = (
        one for one in messages.collected() if re.match(r"[A-Z][a-z']* [a-z]+ ", one.words)
    )
    assert [one for one in sentences if slip.search(one.words)] == []
