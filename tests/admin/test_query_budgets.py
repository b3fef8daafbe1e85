"""What every page asks of the database, for every role: so much, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batchops.models import (
    Action,
    AuditEntry,
    Batch,
    Change,
    ChangeState,
    PastedIds,
    Quota,
    SyncRun,
)
from tests.admin import seeded

pytestmark = pytest.mark.django_db

NOBODYS: Final = UUID(int=7)
Numbers: TypeAlias = tuple[int | None, ...]
"""Queries of a page, by the roles in their order; None where it is not open to one."""
Queries: TypeAlias = dict[str, Numbers]
"""The numbers of each page by its name."""

BUDGETS: Final[Queries] = {
    # Viewer, Operator, Approver, Auditor, Administrator
    "overview": (21, 21, 22, 22, 21),
    "batch list": (19, 19, 19, 19, 17),
    "campaign list": (12, 12, 12, 12, 10),
    "change list": (12, 12, 12, 12, 10),
    "sync list": (11, 11, 11, 11, 9),
    "trail list": (None, None, None, 23, 21),
    "batch list, everything": (19, 19, 19, 19, 17),
    "batch list, pasted": (15, 21, 15, 15, 19),
    "paste ids": (9, 9, 9, 9, 7),
    "batch": (12, 13, 12, 12, 11),
    "batch with counts": (17, 18, 17, 17, 16),
    "counts": (5, 5, 5, 5, 3),
    "campaign": (15, 15, 15, 15, 13),
    "upcoming": (12, 12, 12, 12, 10),
    "change, ended": (17, 18, 17, 19, 18),
    "state, ended": (11, 12, 11, 11, 10),
    "change, halted": (18, 18, 18, 20, 18),
    "state, halted": (12, 12, 12, 12, 10),
    "change, to be approved": (17, 17, 31, 19, 31),
    "state, to be approved": (11, 11, 22, 11, 20),
    "preview": (None, 23, None, None, 20),
    "sync": (11, 11, 11, 11, 9),
    "entry": (None, None, None, 16, 14),
    "desk": (None, None, None, 23, 21),
    "report": (None, None, None, 13, 11),
    "person": (None, None, None, 22, 20),
    "sample": (None, None, None, 13, 11),
    "users": (None, None, None, None, 11),
    "user": (None, None, None, None, 13),
    "groups": (None, None, None, None, 10),
    "group": (None, None, None, None, 11),
    "notices": (10, 10, 10, 10, 8),
    "channels": (None, None, None, None, 8),
    "mail to me": (10, 10, 10, 10, 8),
    "news": (3, 3, 3, 3, 3),
    "own password": (9, 9, 9, 9, 7),
    "no such page": (9, 9, 9, 9, 7),
}


def addresses(user: User) -> Iterator[tuple[str, str]]:
    """Each page of the site by a name, as it is shown to a person."""
    entry = AuditEntry.objects.filter(action=Action.BATCH_CHANGED_OUTSIDE).latest("pk")
    batch = Batch.objects.get(pk=entry.batch_id)
    own = Change.objects.filter(requested_by=user, state=ChangeState.DRAFT).order_by("created_at")
    draft, pasted = own.last(), PastedIds.objects.filter(user=user).last()
    drawn = AuditEntry.objects.filter(action=Action.AUDIT_SAMPLED).latest("pk")
    yield "overview", reverse("admin:index")
    for name in ("batch", "campaign", "change"):
        yield f"{name} list", lists(name)
    yield "sync list", lists("syncrun")
    yield "trail list", lists("auditentry")
    yield "batch list, everything", lists("batch") + "?show=everything"
    yield "batch list, pasted", lists("batch") + f"?pasted={pasted.pk if pasted else NOBODYS}"
    yield "paste ids", reverse("admin:batchops_batch_paste")
    yield "batch", page("batch", batch.pk)
    yield "batch with counts", page("batch", batch.pk) + "?counts=1"
    yield "counts", reverse("admin:batchops_batch_counts", args=[batch.pk])
    yield "campaign", page("campaign", batch.campaign_id)
    yield "upcoming", reverse("admin:batchops_change_upcoming")
    for name, found in {
        "ended": Change.objects.filter(state=ChangeState.FINISHED),
        "halted": Change.objects.filter(state=ChangeState.RUNNING),
        "to be approved": Change.objects.filter(state=ChangeState.AWAITING_APPROVAL),
    }.items():
        change = found.latest("created_at")
        yield f"change, {name}", page("change", change.pk)
        yield f"state, {name}", reverse("admin:batchops_change_state", args=[change.pk])
    yield "preview", reverse("admin:batchops_change_preview", args=[draft.pk if draft else NOBODYS])
    yield "sync", page("syncrun", SyncRun.objects.latest("pk").pk)
    yield "entry", page("auditentry", entry.pk)
    for name in ("desk", "report"):
        yield name, reverse(f"admin:batchops_auditentry_{name}")
    yield "person", reverse("admin:batchops_auditentry_person") + "?name=operator"
    yield "sample", reverse("admin:batchops_auditentry_sample", args=[drawn.pk])
    yield "users", reverse("admin:auth_user_changelist")
    yield "user", reverse("admin:auth_user_change", args=[User.objects.get(username="viewer").pk])
    yield "groups", reverse("admin:auth_group_changelist")
    yield "group", reverse("admin:auth_group_change", args=[Group.objects.get(name="Viewer").pk])
    yield "notices", reverse("admin:notices")
    yield "channels", reverse("admin:notices_channels")
    yield "mail to me", reverse("admin:notices_mail")
    yield "news", reverse("admin:notices_news")
    yield "own password", reverse("admin:password_change")
    yield "no such page", "/nothing/"


def lists(name: str) -> str:
    return reverse(f"admin:batchops_{name}_changelist")


def page(name: str, key: object) -> str:
    return reverse(f"admin:batchops_{name}_change", args=[key])


def measured(staff: dict[str, User]) -> Queries:
    found: Queries = {}
    for user in staff.values():
        reader = seeded.signed_in(user)
        for name, address in addresses(user):
            ContentType.objects.clear_cache()
            Quota.objects.all().delete()
            with CaptureQueriesContext(connection) as queries:
                response = reader.get(address)
            is_open = response.status_code == (404 if name == "no such page" else 200)
            found[name] = (*found.get(name, ()), len(queries) if is_open else None)
    return found


def test_every_page_keeps_to_its_budget_of_queries_however_many_rows_there_are(
    make_person: Callable[..., User], running_worker: None
) -> None:
    staff = seeded.people(make_person)
    with seeded.seeded_sandbox(batches=60) as sandbox:
        seeded.past(sandbox, staff, size=2)
        few_rows = measured({"Administrator": staff["Administrator"]})
        seeded.grow(sandbox, campaigns=20, batches=200)
        seeded.past(sandbox, staff, size=14)
        for number in range(20):
            make_person(f"viewer-{number}", "Viewer")
        many_rows = measured(staff)
    of_the_administrator = {name: numbers[-1:] for name, numbers in many_rows.items()}
    assert beyond(of_the_administrator, few_rows) == {}, "a page asks more the more rows there are"
    assert beyond(many_rows, BUDGETS) == {}


def beyond(found: Queries, allowed: Queries) -> dict[str, tuple[Numbers, Numbers]]:
    """The pages that ask more than they may, or are open to other roles than they should be."""
    assert found.keys() == allowed.keys()
    return {
        name: (numbers, allowed[name])
        for name, numbers in found.items()
        if any(
            (one is None) != (most is None) or (one or 0) > (most or 0)
            for one, most in zip(numbers, allowed[name], strict=True)
        )
    }
