"""The tabs above the batches of a change or draft, each with its number, and the page under one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from batchops.models import ChangeItem

Tab = tuple[str, str, int]
"""Name in the address, label, number of batches."""

PAGE_SIZE: Final = 25


class CountedPaginator(Paginator[ChangeItem]):
    """Pages of rows whose number is known: counting them once more would read every one."""

    def __init__(self, items: QuerySet[ChangeItem], known: int) -> None:
        super().__init__(items, PAGE_SIZE)
        self._known = known

    @cached_property
    def count(self) -> int:
        return self._known


def page_of_tab(
    request: HttpRequest,
    items: QuerySet[ChangeItem],
    tabs: Sequence[Tab],
    chosen: str,
    text: str,
) -> Page[ChangeItem]:
    """The page that the address asks for; the tab tells how many there are, but for a search."""
    known = next((number for name, _, number in tabs if name == chosen), None)
    if known is None or text:
        return Paginator(items, PAGE_SIZE).get_page(request.GET.get("p"))
    return CountedPaginator(items, known).get_page(request.GET.get("p"))
