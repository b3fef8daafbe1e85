"""Parameters of an address: each page takes those it names, and refuses any other by its name.

Django's lists would run any `field__lookup` that stands in an address. A page that shows, or an
action that freezes, something else than its words say is worse than one that says no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

from django.contrib.admin import FieldListFilter, ModelAdmin, ShowFacets
from django.contrib.admin.options import IS_FACETS_VAR, IS_POPUP_VAR, TO_FIELD_VAR
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.http import HttpRequest
from django.utils.text import smart_split

View = TypeVar("View", bound=Callable[..., Any])

SEARCH_LIMIT: Final = 255
"""Characters of a search; ids are no longer."""
SEARCH_WORDS: Final = 20
"""Words of a search: each is one more condition for the database."""
SHOWN: Final = 60
"""Characters of a name or a value that is repeated in a message."""

_PAGE_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_COLUMN: Final = re.compile(r"-?([0-9]{1,3})", re.ASCII)
_FORM: Final = frozenset({"_changelist_filters", IS_POPUP_VAR, TO_FIELD_VAR})
"""What Django's pages of one row take: the way back to the list, and their small windows."""
_STOCK: Final[dict[str, frozenset[str] | None]] = {
    "add_view": _FORM,
    "change_view": _FORM,
    "delete_view": _FORM,
    "user_change_password": _FORM,
    "history_view": _FORM | {PAGE_VAR},
    "autocomplete_view": frozenset({"term", "page", "app_label", "model_name", "field_name"}),
    # It only adds a slash that is missing, or says that there is no such page.
    "catch_all_view": None,
}


class RefusedParameter(Exception):
    """A parameter that a page does not take, or a value it cannot use; `words` say so."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name
        self.words = words


class SearchTooLong(RefusedParameter):
    """A search of more characters or words than one can have."""


def takes(*names: str) -> Callable[[View], View]:
    """Mark a view with the parameters that it takes in its address, besides Django's own."""

    def mark(view: View) -> View:
        view.query_names = _FORM | set(names)  # type: ignore[attr-defined]
        return view

    return mark


def judges_itself(view: View) -> View:
    """Mark a view whose form refuses what it does not know, at the place where it is shown."""
    view.query_names = None  # type: ignore[attr-defined]
    return view


def takes_what_the_list_takes(view: View) -> View:
    """Mark a view that does something with a list as its address narrows and sorts it."""
    view.takes_list = True  # type: ignore[attr-defined]
    return view


def check(request: HttpRequest, view: Callable[..., Any]) -> None:
    """Raise RefusedParameter for what a view of the site does not take."""
    if not request.GET:
        return
    owner = getattr(view, "__self__", None)
    model_admin = owner if isinstance(owner, ModelAdmin) else None
    if model_admin is not None and not model_admin.has_view_or_change_permission(request):
        # The view itself refuses, and that is recorded.
        return
    known = _names_of(request, view, model_admin)
    _check_text(request)
    if known is not None:
        _check_names(request, known)
        _check_page(request)


def searched(request: HttpRequest) -> str:
    """What a person searches for, exactly as given. Raises RefusedParameter."""
    text = request.GET.get(SEARCH_VAR, "")
    if "\0" in text:
        raise RefusedParameter(SEARCH_VAR, "Text here cannot contain the character U+0000.")
    if len(text) > SEARCH_LIMIT:
        raise SearchTooLong(
            SEARCH_VAR,
            f"A search has at most {SEARCH_LIMIT} characters; this one has {len(text):,}.",
        )
    return text


def searched_words(request: HttpRequest) -> str:
    """As `searched`, where each word is looked for by itself. Raises RefusedParameter."""
    text = searched(request)
    number = sum(1 for _ in smart_split(text))
    if number > SEARCH_WORDS:
        raise SearchTooLong(
            SEARCH_VAR, f"A search has at most {SEARCH_WORDS} words; this one has {number:,}."
        )
    return text


def require_choice(name: str, value: str | None, choices: Iterable[str]) -> None:
    """Raise RefusedParameter for a value that is none of the choices; empty stands for none."""
    known = [choice for choice in choices if choice]
    if value and value not in known:
        raise RefusedParameter(
            name,
            f"“{name}” cannot be “{shown(value)}”. It can be: {', '.join(known) or 'nothing'}.",
        )


def require_order(value: str, columns: int) -> None:
    """Raise RefusedParameter unless a list with so many columns can be sorted like that."""
    parts = value.split(".") if value else []
    found = [_COLUMN.fullmatch(part) for part in parts[: columns + 1]]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) != len(parts) or len(set(numbers)) != len(numbers):
        fits = False
    else:
        fits = all(number < columns for number in numbers)
    if not fits:
        raise RefusedParameter(
            ORDER_VAR, f"The list cannot be sorted by “{shown(value)}”. Click a column's heading."
        )


def shown(text: str) -> str:
    """A piece of an address as it is repeated in a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _names_of(
    request: HttpRequest, view: Callable[..., Any], model_admin: ModelAdmin[Any] | None
) -> Collection[str] | None:
    """The parameters that a view takes; None when it judges them itself."""
    if hasattr(view, "query_names"):
        names: frozenset[str] | None = view.query_names
        return names
    name = getattr(view, "__name__", "")
    is_list = name == "changelist_view" or getattr(view, "takes_list", False)
    if is_list and model_admin is not None:
        return names_of_list(request, model_admin)
    return _STOCK.get(name, frozenset())


def names_of_list(request: HttpRequest, model_admin: ModelAdmin[Any]) -> set[str]:
    """The parameters that a list takes."""
    names = {PAGE_VAR}
    if model_admin.get_search_fields(request):
        names.add(SEARCH_VAR)
    if model_admin.get_sortable_by(request):
        names.add(ORDER_VAR)
    if model_admin.list_max_show_all:
        names.add(ALL_VAR)
    if model_admin.show_facets is ShowFacets.ALLOW:
        names.add(IS_FACETS_VAR)
    for one in model_admin.get_list_filter(request):
        names.update(_names_of_filter(one, request, model_admin))
    return names


def _names_of_filter(
    one: Any, request: HttpRequest, model_admin: ModelAdmin[Any]
) -> Collection[str]:
    if isinstance(one, type):
        return {one.parameter_name, *getattr(one, "further_parameters", ())}  # type: ignore[attr-defined]
    path = str(one)
    field = get_fields_from_path(model_admin.model, path)[-1]
    spec = FieldListFilter.create(
        field, request, {}, model_admin.model, model_admin, field_path=path
    )
    return [name for name in spec.expected_parameters() if name]


def _check_text(request: HttpRequest) -> None:
    """Django reads what is no text as U+FFFD, which may be a part of somebody's id."""
    try:
        unquote_to_bytes(request.META["QUERY_STRING"].encode("latin-1")).decode()
    except UnicodeError:
        raise RefusedParameter("", "Something in this address is not UTF-8 text.") from None


def _check_names(request: HttpRequest, known: Collection[str]) -> None:
    for name, values in request.GET.lists():
        if name not in known:
            there = ", ".join(sorted(one for one in known if not one.startswith("_")))
            words = f"This page does not take “{shown(name)}” in its address."
            raise RefusedParameter(name, f"{words} It takes: {there}." if there else words)
        if len(values) > 1:
            raise RefusedParameter(
                name, f"“{name}” appears in this address {len(values):,} times. Once is enough."
            )


def _check_page(request: HttpRequest) -> None:
    page = request.GET.get(PAGE_VAR)
    if page is not None and not _PAGE_NUMBER.fullmatch(page):
        raise RefusedParameter(
            PAGE_VAR, f"“{shown(page)}” is not the number of a page. The first page is 1."
        )
