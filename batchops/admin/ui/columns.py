"""How a batch and a change are shown in one line: a pause, an expiry, what was asked."""

from __future__ import annotations

from typing import Final

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from batchops.admin.ui import pills, times
from batchops.admin.ui.pills import Look
from batchops.models import Batch, Change

REASON_SHOWN: Final = 45
"""Characters of a reason in a list."""


def pause(batch: Batch) -> SafeString:
    """Whether a batch is paused, who paused it, until when and why."""
    if batch.paused is None:
        return quiet("Not stated")
    if not batch.paused:
        return format_html('<span class="quiet-note">{}Not paused</span>', pills.icon("play"))
    return format_html(
        '{}<span class="column-note">{}</span>',
        pills.pill("Paused", Look("pause", "warn")),
        pause_words(batch),
    )


def pause_words(batch: Batch) -> SafeString:
    """Who paused a batch: "paused by Olivia until Mon 08:00: wrong list"."""
    change = batch.paused_by
    if change is None:
        return format_html("{}", "paused outside batchops")
    until = format_html(" until {}", times.moment(change.resume_at)) if change.resume_at else ""
    reason = Truncator(change.reason).chars(REASON_SHOWN)
    why = format_html(": <bdi>{}</bdi>", reason) if reason else ""
    return format_html("paused by <bdi>{}</bdi>{}{}", change.requested_by_name, until, why)


def expiry(batch: Batch) -> SafeString:
    """When a batch expires: how long from now, and exactly."""
    moment = batch.expires_on
    if moment is None:
        return quiet("Never")
    away = moment - timezone.now()
    words = f"in {times.span(away)}" if away.total_seconds() > 0 else f"{times.span(-away)} ago"
    return format_html(
        '<span class="nowrap">{}</span><span class="column-note nowrap">{}</span>',
        words,
        times.instant(moment),
    )


def rate(batch: Batch) -> SafeString:
    """At which rate people are reached, and whose rate that is."""
    if batch.auto_call_rate:
        return format_html('{}<span class="column-note">{}</span>', "Automatic", "to the expiry")
    if batch.call_rate is not None:
        return format_html('<span class="nowrap">{} an hour</span>', f"{batch.call_rate:,}")
    rate_of_campaign = batch.campaign.hourly_rate
    if rate_of_campaign is None:
        return quiet("Campaign's")
    return format_html(
        '<span class="nowrap">{} an hour</span><span class="column-note">{}</span>',
        f"{rate_of_campaign:,}",
        "campaign's",
    )


def updated(batch: Batch) -> SafeString:
    """When the vendor last changed a batch, and for whom."""
    return format_html(
        '<span class="nowrap">{}</span><span class="column-note" title="{}"><bdi>{}</bdi></span>',
        times.moment(batch.last_updated_at),
        batch.last_updated_by,
        Truncator(batch.last_updated_by).chars(60),
    )


def asked(change: Change) -> str:
    """What a change asks for, as the start of a sentence, with instants in the reader's zone."""
    words = change.summary(timezone.get_current_timezone())
    return words[:1].upper() + words[1:]


def quiet(words: str) -> SafeString:
    """Words that stand back."""
    return format_html('<span class="quiet-note">{}</span>', words)
