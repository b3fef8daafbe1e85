"""What the trail gains becomes notices: each once, together where it belongs together."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from batchops import audit
from batchops.models import Action, AuditHead, Batch, Change
from batchops.notices import clean_up, facts, inbox, kinds, raising
from batchops.notices.models import Cursor, InboxItem, Notice
from batchops.services.changes import lifecycle
from tests.services.changes import world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def from_here(operator: User, approver: User, viewer: User, auditor: User) -> None:
    """The trail so far is taken up."""
    facts.take_up()
    head = AuditHead.objects.get().sequence
    Cursor.objects.update_or_create(pk=facts.CURSOR, defaults={"sequence": head})
    Notice.objects.all().delete()


def titles(user: User) -> list[str]:
    return [item.notice.title for item in inbox.unread(user)]


def run(change: Change, **states: int) -> None:
    """Let a change end with so many items in each state."""
    keys = list(change.items.order_by("pk").values_list("pk", flat=True))
    for state, number in states.items():
        change.items.filter(pk__in=[keys.pop() for _ in range(number)]).update(state=state)
    Change.objects.filter(pk=change.pk).update(state="running")
    assert lifecycle.finish(change)


def outside(name: str, who: str = "dave") -> audit.Fact:
    batch = Batch.objects.get(pk=name)
    actor = audit.Actor.outside(who)
    return audit.Fact.about_batch(Action.BATCH_CHANGED_OUTSIDE, actor, batch, outcome="outside")


def test_who_asked_learns_how_a_change_ended_and_nobody_else_does(
    operator: User, approver: User
) -> None:
    world.batches(3)
    run(world.confirm(world.draft(operator), operator), applied=2, refused=1)
    facts.take_up()
    assert titles(operator) == ["Finished, 1 of 3 not as requested: pause, on 3 batches"]
    assert titles(approver) == []
    [toast] = inbox.toasts(operator, after=0)
    assert toast.notice.kind == kinds.FAILED.name
    assert inbox.toasts(operator, after=toast.notice_id) == []


def test_nobody_is_told_what_they_did_themselves(operator: User, approver: User) -> None:
    world.batches(2)
    for person in (operator, approver):
        change = world.confirm(world.draft(operator), operator)
        actor = audit.Actor.of_user(person)
        lifecycle.stop(change, user=person, actor=actor)
    facts.take_up()
    assert titles(operator) == ["amir cancelled: pause, on 2 batches"]


def test_two_hundred_changes_outside_are_one_notice_for_each_who_made_them(operator: User) -> None:
    world.batches(200)
    audit.record(*(outside(f"b-{number}") for number in range(150)))
    facts.take_up()
    audit.record(*(outside(f"b-{number}") for number in range(150, 200)), outside("b-0", "eve"))
    inbox.mark_read(operator)
    facts.take_up()
    assert titles(operator) == [
        "eve changed batch b-0 outside batchops",
        "dave made 200 changes to batches outside batchops",
    ]


def test_what_comes_much_later_is_another_notice(operator: User) -> None:
    world.batch("b-0")
    audit.record(outside("b-0"))
    facts.take_up()
    Notice.objects.update(raised_at=timezone.now() - raising.GROUP_SPAN)
    audit.record(outside("b-0"))
    facts.take_up()
    assert titles(operator) == ["dave changed batch b-0 outside batchops"] * 2


def test_a_name_that_looks_like_a_template_stays_a_name(operator: User) -> None:
    name = "{number}{who.__class__}<b>%s"
    world.batch(name)
    audit.record(outside(name, "{batch}"))
    facts.take_up()
    assert titles(operator) == [f"{{batch}} changed batch {name} outside batchops"]


def test_nothing_is_taken_up_twice_or_passed_over_whatever_the_size_of_a_slice(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "SLICE", 3)
    world.batches(10)
    audit.record(*(outside(f"b-{number}") for number in range(10)))
    while facts.take_up():
        pass
    assert facts.take_up() == 0
    assert titles(operator) == ["dave made 10 changes to batches outside batchops"]


def test_a_worker_that_was_overtaken_raises_nothing(
    operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.batch("b-0")
    audit.record(outside("b-0"))
    judge = facts.worth_a_word

    def overtaken(entries: list[object]) -> object:
        monkeypatch.setattr(facts, "worth_a_word", judge)
        facts.take_up()
        return judge(entries)  # type: ignore[arg-type]

    monkeypatch.setattr(facts, "worth_a_word", overtaken)
    facts.take_up()
    assert titles(operator) == ["dave changed batch b-0 outside batchops"]


def test_who_is_deactivated_or_may_not_see_it_is_told_nothing(
    operator: User, viewer: User, auditor: User
) -> None:
    world.batch("b-0")
    audit.record(outside("b-0"))
    User.objects.filter(pk=operator.pk).update(is_active=False)
    facts.take_up()
    assert not InboxItem.objects.filter(user__in=[operator, viewer, auditor]).exists()


def test_changed_permissions_are_told_to_auditors_with_a_link_that_they_may_follow(
    auditor: User, operator: User
) -> None:
    operator.groups.clear()
    facts.take_up()
    [found] = inbox.unread(auditor)
    assert found.notice.title == "command line changed permissions"
    reader = Client()
    reader.force_login(auditor)
    assert reader.get(found.notice.link).status_code == 200
    assert titles(operator) == []


def test_old_notices_go_and_open_ones_stay(operator: User) -> None:
    world.batch("b-0")
    audit.record(outside("b-0"))
    facts.take_up()
    assert clean_up.clean_up() == 0
    Notice.objects.update(closed_at=timezone.now() - dt.timedelta(days=91))
    assert clean_up.clean_up() == 1
    assert inbox.unread_ids(operator) == []
