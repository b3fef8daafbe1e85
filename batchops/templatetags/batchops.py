"""How batchops writes times, values and states, the same on every page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django import template
from django.contrib.admin.views.main import ChangeList
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batchops.admin.ui import addresses, bars, columns, pills, times
from batchops.models import Change, PastedIds
from batchops.services.changes import id_lists

register = template.Library()

register.filter("instant", times.instant)
register.filter("moment", times.moment)
register.filter("span", times.span)
register.filter("promised", times.promised)
register.simple_tag(pills.icon, name="icon")
register.filter("status_pill", pills.status)
register.filter("change_pill", pills.change_state)
register.filter("outcome_pill", pills.outcome)
register.filter("pause_column", columns.pause)
register.filter("state_column", columns.state)
register.filter("expiry_column", columns.expiry)
register.filter("rate_column", columns.rate)
register.filter("utc_words", times.utc_words)
register.filter("batch_key", addresses.batch_key)


@register.filter
def ago(moment: dt.datetime | None) -> str | SafeString:
    """How long ago an instant was, kept up to date by a script; the exact time on hover."""
    if moment is None:
        return "never"
    age = timezone.now() - moment
    return format_html(
        '<time datetime="{}" title="{}" data-age="{}">{}</time>',
        moment.astimezone(dt.UTC).isoformat(),
        times.in_words(moment),
        int(age.total_seconds()),
        times.span(age),
    )


@register.simple_tag
def reader_zone() -> str:
    """The name of the zone in which the page is shown."""
    return times.reader_zone().key


@register.simple_tag
def share_bar(counts: Mapping[str, int], total: int) -> list[bars.Part]:
    """Requests by status as the parts of a bar."""
    return bars.parts(counts, total, bars.REQUEST_STYLES)


@register.filter
def look_alikes(pasted: PastedIds) -> list[dict[str, Any]]:
    """The unknown ids of a list, each with the batches that may be meant by it."""
    return [
        {
            "given": id_lists.shown(name, known[0]),
            "known": [
                {"value": addresses.form_value(one), "words": id_lists.shown(one, name)}
                for one in known
            ],
        }
        for name, known in pasted.look_alikes.items()
    ]


@register.filter
def choices_of(spec: Any, changelist: ChangeList) -> list[Any]:
    """What a filter of a list offers."""
    return list(spec.choices(changelist))


@register.simple_tag
def everything_query(changelist: ChangeList) -> str:
    """The address of a list with all that matches, deleted and missing ones too."""
    return str(changelist.get_query_string({"show": "everything"}))


@register.inclusion_tag("batchops/ui/progress.html")
def progress(change: Change) -> dict[str, Any]:
    """The bar of a change: done well, done otherwise, still to do; with the numbers in words."""
    return bars.progress_of(change.counts_json, change.item_count)
