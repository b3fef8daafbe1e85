"""A filter of a list whose choices are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from batchops.admin.ui.parameters import require_choice


class FixedFilter(admin.SimpleListFilter):
    """Filters by one of its options; a value that is none of them is refused by its name."""

    parameter_name: str
    options: ClassVar[Mapping[str, str]]
    """Each value with its label."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        require_choice(self.parameter_name, self.value(), self.options)
        return [(str(value), str(label)) for value, label in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.narrow(queryset, value) if value else queryset

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """The rows that a value leaves; by default those with this value in the field."""
        return rows.filter(**{self.parameter_name: value})
