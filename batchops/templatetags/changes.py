"""How changes are put into words on their pages."""

from __future__ import annotations

from django import template

from batchops.admin.ui import columns, pills
from batchops.models.batch import counted

register = template.Library()

register.simple_tag(pills.icon, name="icon")
register.filter("asked", columns.asked)
register.filter("asked_on", columns.asked_on)
register.filter("asked_on_all", columns.asked_on_all)
register.filter("heading", columns.heading)
register.filter("batches", counted)


@register.filter
def thousands(number: int) -> str:
    """A number with its thousands set apart."""
    return f"{number:,}"
