"""Compares how things stand with the open notices: what is new is raised, what is over closed."""

from __future__ import annotations

import logging
from typing import Final

from django.db import transaction
from django.utils import timezone

from batchops.lanes import all_of
from batchops.notices import raising
from batchops.notices.conditions import CONDITIONS, Condition
from batchops.notices.models import Notice

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 15.0


def watch(condition: Condition) -> None:
    """Bring the notices of one condition in line with how things stand.

    Any number of workers may do so at once: a state has at most one open notice.
    """
    found = {one.key: one for one in condition.find()}
    named = Notice.objects.filter(kind__in=[kind.name for kind in condition.kinds], closed_at=None)
    if condition.about is not None:
        named = named.filter(key__in=[f"{kind.name}:{condition.about}" for kind in condition.kinds])
    known = {notice.key: notice for notice in named}
    audience = raising.Audience()
    with transaction.atomic():
        over = [notice.pk for key, notice in known.items() if key not in found]
        if over:
            raising.close(Notice.objects.filter(pk__in=over), timezone.now())
        if new := [one for key, one in found.items() if key not in known]:
            raising.begin(new)
        for key, notice in known.items():
            if key in found:
                raising.go_on(notice, found[key], audience.of(found[key]))


def _close_groups() -> None:
    now = timezone.now()
    with transaction.atomic():
        raising.close(raising.grouping_over(now), now)


watch_all: Final = all_of(
    *(lambda condition=condition: watch(condition) for condition in CONDITIONS),
    _close_groups,
)
"""Every condition, each even where one before it fails."""
