"""A spreadsheet shows each cell of a CSV as it is written, and runs none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchops.services.table_files.spreadsheet_cells import as_text

MARKED = (
    *("20261116.10", "20260324.9", "1E5", "1e-3", "12D4", "007", "0.10", "1,000", "50%", "$5"),
    *("1234567890123456", "3-4", "1/2", "2026-03-24", "3.4.26", "12:30", "6 pm", "(5)"),
    *("Mar-5", "5 Mar", "may 2026", "TRUE", "false", "\uff11\uff10", " 7", "\u200b7"),
    *("=1", "+1", "-1", "@SUM(1)", "\u22121", "\uff1d1", "\ufe661", " =1", "\u00a0=1"),
    *("\u200b=1", "\ufeff=1", "\u2060\u200d=1", "\x00=1", "\u202e=1", "\ufe0f=1", "\t1", "\r1"),
)
KEPT = ("", "42", "0", "123456789012345", "wrong list", "T-1", "v1.0", "20260324.X", "May be wrong")


@pytest.mark.parametrize("text", MARKED)
def test_what_a_spreadsheet_would_alter_or_run_is_marked_as_text(text: str) -> None:
    assert as_text(text) == f"'{text}"


@pytest.mark.parametrize("text", KEPT)
def test_what_a_spreadsheet_shows_as_it_is_stays(text: str) -> None:
    assert as_text(text) == text


@pytest.mark.parametrize("value", [None, 7, True])
def test_what_is_no_text_stays(value: object) -> None:
    assert as_text(value) is value


def test_no_cell_begins_like_a_formula_where_another_character_parts_cells() -> None:
    assert as_text("a;=1|+2\n@x\t\u200b-3;b") == "a;'=1|'+2\n'@x\t'\u200b-3;b"


@given(text=st.text())
def test_a_cell_is_the_text_or_the_text_marked(text: str) -> None:
    made = str(as_text(text))
    assert made.replace("'", "") == text.replace("'", "")
