"""How changes are put into words on their pages."""

from __future__ import annotations

from django import template
from django.utils import timezone

from batchops.admin import pills
from batchops.models import Change

register = template.Library()

register.simple_tag(pills.icon, name="icon")


@register.filter
def asked(change: Change) -> str:
    """What a change asks for, as the start of a sentence, with instants in the reader's zone."""
    words = change.summary(timezone.get_current_timezone())
    return words[:1].upper() + words[1:]


@register.filter
def batches(number: int) -> str:
    """A number of batches in words."""
    return "1 batch" if number == 1 else f"{number:,} batches"


@register.filter
def thousands(number: int) -> str:
    """A number with its thousands set apart."""
    return f"{number:,}"
