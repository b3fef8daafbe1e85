"""Pills are drawn once, and what one word may contain no other may."""

from __future__ import annotations

from django.utils.safestring import mark_safe

from batchops.admin.ui import pills


def test_a_word_that_is_safe_never_speaks_for_the_same_one_that_is_not() -> None:
    word = "<b>status</b>"
    for draw in (pills.pill, pills.flag):
        assert word in draw(mark_safe(word), pills.UNKNOWN)
        assert word not in draw(word, pills.UNKNOWN)
        assert word in draw(mark_safe(word), pills.UNKNOWN)
