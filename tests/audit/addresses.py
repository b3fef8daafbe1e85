"""Every address of the site, and those that change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver

from batchops.models import Campaign, Change, SyncRun
from tests.audit.world import BATCH, World, last_sequence

APP_LIST: Final = "^(?P<app_label>batchops|auth)/$"
ANYTHING_ELSE: Final = "(?P<url>.*)$"
READS: Final = frozenset(
    (
        *("", "healthz", "readyz", "metrics", "jsi18n/", "autocomplete/", "password_change/done/"),
        *(APP_LIST, ANYTHING_ELSE),
        *("account/", "account/session/", "account/session/stay/"),
        "login/sso/",
        *("account/second-factors/", "account/second-factors/app/picture.svg"),
        "r/<path:content_type_id>/<path:object_id>/",
        *("notices/", "notices/news/", "notices/channels/"),
        *("auth/group/<path:object_id>/", "auth/group/<path:object_id>/history/"),
        *("auth/user/<path:object_id>/", "auth/user/<path:object_id>/history/"),
        *("batchops/auditentry/", "batchops/auditentry/person/", "batchops/auditentry/report/"),
        *("batchops/auditentry/desk/", "batchops/auditentry/sample/<int:sequence>/"),
        *("batchops/batch/views/counts/",),
        *("batchops/batch/<path:object_id>/counts/", "batchops/campaign/", "batchops/change/"),
        *("batchops/change/upcoming/", "batchops/change/<uuid:pk>/state/", "batchops/syncrun/"),
        *(
            f"batchops/{model}/{rest}"
            for model in ("auditentry", "batch", "campaign", "change", "syncrun")
            for rest in (
                *("add/", "<path:object_id>/", "<path:object_id>/history/"),
                *("<path:object_id>/delete/", "<path:object_id>/change/"),
            )
            if (model, rest) != ("batch", "<path:object_id>/change/")
        ),
    )
)
"""Addresses that change nothing, whatever is sent to them."""

KEEPS_ASIDE: Final = {
    "batchops/batch/paste/": "a list that nothing was done with yet",
    "batchops/batch/views/default/": "with which view the list opens for a person",
    "batchops/batch/views/save/": "a view that nobody else sees",
    "batchops/batch/look/": "columns and rows a page, for one's own eyes",
    "notices/read/": "what a person has read, which nobody else is told",
}
"""Addresses that keep something for a person alone, which is no fact for the trail, and why."""


def addresses(patterns: Iterable[Any], beginning: str = "") -> Iterator[str]:
    """The pattern of every address of the site."""
    for pattern in patterns:
        address = beginning + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern):
            yield address


def filled_in(pattern: str, world: World) -> str:
    """An address that leads somewhere, where its pattern has anywhere to lead."""
    keys = {
        "auth/user/": world.operator.pk,
        "auth/group/": Group.objects.get(name="Viewer").pk,
        "batchops/auditentry/": last_sequence(),
        "batchops/batch/": BATCH,
        "batchops/campaign/": Campaign.objects.get().pk,
        "batchops/change/": Change.objects.latest("created_at").pk,
        "batchops/syncrun/": SyncRun.objects.latest("pk").pk,
    }
    key = next((key for start, key in keys.items() if pattern.startswith(start)), 1)
    special = {"campaign_id": Campaign.objects.get().pk, "action": "stop"}
    plain = {APP_LIST: "batchops/", ANYTHING_ELSE: "nowhere/"}.get(pattern, pattern)
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(special.get(found[1], key)), plain)
