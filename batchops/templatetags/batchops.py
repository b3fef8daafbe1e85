"""How batchops writes times, values and states, the same on every page."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batchops.syllable.patch import BatchPatch, describe_value

register = template.Library()


@register.filter
def instant(moment: dt.datetime | None) -> str | SafeString:
    """An instant in the reader's zone, with UTC on hover."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.astimezone(dt.UTC).isoformat(),
        f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}",
        f"{local.day} {local:%b %Y %H:%M}",
    )


@register.filter
def in_words(patch: BatchPatch) -> str:
    """What a patch asks for, with instants in the reader's zone."""
    words = patch.describe(timezone.get_current_timezone())
    return words[:1].upper() + words[1:]


@register.simple_tag
def value_in_words(field: str, value: Any) -> str:
    """One value of a batch in words, with instants in the reader's zone."""
    return describe_value(field, value, timezone.get_current_timezone())
