"""The columns and the rows a page of the batch list, kept for each person."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batchops.saved_views.models import ListSettings

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PAGE_SIZES: Final = (20, 50, 100, 200)
PAGE_SIZE: Final = 50


@dataclass(frozen=True, slots=True)
class Look:
    """What one person sees of the list: columns (None: those it comes with), rows a page."""

    columns: frozenset[str] | None = None
    page_size: int = PAGE_SIZE


def of(user: User) -> Look:
    """What a person chose, or what the list comes with."""
    kept = ListSettings.objects.filter(pk=user.pk).first()
    if kept is None:
        return Look()
    size = kept.page_size if kept.page_size in PAGE_SIZES else PAGE_SIZE
    return Look(frozenset(map(str, kept.columns)), size)


def keep(user: User, columns: Collection[str], page_size: int) -> None:
    """Keep what a person chose, for them alone."""
    ListSettings.objects.update_or_create(
        user=user, defaults={"columns": sorted(columns), "page_size": page_size}
    )


def forget(user: User) -> None:
    """Let a person see the list as it comes."""
    ListSettings.objects.filter(pk=user.pk).delete()
