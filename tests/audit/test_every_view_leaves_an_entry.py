"""Every address of the site either changes nothing, or says here what it leaves in the trail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver
from django.utils import timezone

from batchops import audit
from batchops.accounts.models import SecondFactor, Session
from batchops.admin.changes import actions
from batchops.models import (
    Action,
    AuditEntry,
    AuditHead,
    Batch,
    Campaign,
    Change,
    DeniedTries,
    HoldOverride,
    ItemState,
    Quota,
)
from batchops.notices import watching
from batchops.notices.channels import sealing
from batchops.notices.conditions import CONDITIONS
from batchops.notices.models import Channel
from batchops.release_windows import freezes
from batchops.release_windows.models import Freeze
from batchops.saved_views import views
from batchops.saved_views.models import SavedView
from batchops.services.changes import drafts
from batchops.services.runs import run_state
from tests.accounts.apps import code_of, secret_on, with_app
from tests.admin.trail.trail import write
from tests.audit.addresses import KEEPS_ASIDE, READS, addresses, filled_in
from tests.audit.world import BATCH, World, actions_since, as_, last_sequence, later

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD: Final = "a-long-passphrase-9"

FREEZE_END: Final = f"{timezone.now() + dt.timedelta(days=30):%Y-%m-%dT%H:%M}"
REQUESTED: Final = (Action.CHANGE_REQUESTED,)
Doing: TypeAlias = Callable[[World, Client], Any]


@dataclass(frozen=True, slots=True)
class Way:
    """What doing something leaves in the trail, in order, and what has to be there before."""

    leaves: tuple[Action, ...]
    do: Doing
    given: Callable[[World], Any] = lambda _: None


def send(client: Client, address: str, **form: Any) -> HttpResponse:
    response = client.post(f"/{address}", form)
    assert response.status_code in (200, 302), response.content
    return response  # type: ignore[return-value]


def on_account(rest: str, **form: Any) -> Doing:
    return lambda w, client: send(client, f"auth/user/{w.operator.pk}/{rest}", **form)


def on_group(rest: str, **form: Any) -> Doing:
    def do(world: World, client: Client) -> HttpResponse:
        return send(client, f"auth/group/{Group.objects.get(name='Viewer').pk}/{rest}", **form)

    return do


def edit_account(world: World, client: Client) -> None:
    account = {"username": "olivia", "email": "olivia@example.com", "is_staff": "on"}
    joined = {"date_joined_0": "2026-03-24", "date_joined_1": "06:00:00"}
    groups = {"groups": [Group.objects.get(name="Viewer").pk]}
    on_account("change/", **account, **joined, **groups)(world, client)


def select(model: str, action: str, key: Any, **more: Any) -> Doing:
    def do(world: World, client: Client) -> HttpResponse:
        chosen = key(world) if callable(key) else key
        return send(client, model, action=action, _selected_action=[chosen], **more)

    return do


def on_batches(action: str, given: dict[str, Any] | None = None, **more: Any) -> Way:
    return Way(
        REQUESTED,
        select("batchops/batch/", action, BATCH, **more),
        lambda _: Batch.objects.update(**(given or {"paused": False})),
    )


def on_change(rest: str, **form: Any) -> Doing:
    def do(world: World, client: Client) -> HttpResponse:
        pk = Change.objects.latest("created_at").pk
        return send(client, f"batchops/change/{pk}/{rest}", **form)

    return do


def confirm(world: World, client: Client) -> None:
    change = Change.objects.latest("created_at")
    on_change("preview/", reason="wrong list", seen=change.fingerprint)(world, client)


def approve(world: World, client: Client) -> None:
    change = Change.objects.latest("created_at")
    on_change("do/approve/", seen=change.fingerprint)(world, client)


def sign_off(world: World, client: Client) -> None:
    day = f"{timezone.now() - dt.timedelta(days=3):%Y-%m-%d}"
    send(client, "batchops/auditentry/sign-off/", since=day, until=day, comment="seen")


def halted(world: World) -> Change:
    change = world.confirmed()
    run_state.halt(change, "the key was refused")
    return change


def failed(world: World) -> Change:
    change = world.pushed()
    change.items.update(state=ItemState.FAILED)
    return change


def own_draft(world: World) -> Change:
    """A draft of the administrator who is signed in, since drafts are their author's alone."""
    author = User.objects.get(username="ada")
    # Of what another person paused: their hold is lifted with it.
    return drafts.draft_undo(world.pushed(), **as_(author), lifts=Change.Lifts.ALL)


def overridden(world: World) -> None:
    """Another change has lifted the hold of the administrator who is signed in."""
    pause = world.pushed()
    Change.objects.update(requested_by=User.objects.get(username="ada"))
    HoldOverride.objects.create(pause=pause, by=pause, at=timezone.now())


def see_override(world: World, client: Client) -> None:
    pk = HoldOverride.objects.get().pk
    send(client, f"batchops/change/overrides/{pk}/seen/")


def shared_view(world: World) -> SavedView:
    """A view that the administrator who is signed in shares."""
    found = SavedView.objects.first()
    author = User.objects.get(username="ada")
    return found or views.save("late", "show=failed", is_shared=True, **as_(author))


def frozen(world: World) -> Freeze:
    """Releases are frozen by the administrator who is signed in."""
    author = User.objects.get(username="ada")
    until = timezone.now() + dt.timedelta(days=2)
    return freezes.freeze(
        user=author,
        actor=audit.Actor.of_user(author),
        reason="audit",
        starts_at=None,
        ends_at=until,
    )


def end_freeze(world: World, client: Client) -> None:
    send(client, f"freezes/{Freeze.objects.get().pk}/end/", reason="done")


def ending(world: World) -> Change:
    return world.pushed(resume_at=later())


def provider_is_set_up(world: World) -> None:
    world.settings.OIDC_ISSUER = "http://localhost:9"


def own_factor() -> SecondFactor:
    return SecondFactor.objects.get(user__username="ada", kind=SecondFactor.Kind.APP)


def add_app(world: World, client: Client) -> None:
    page = client.get("/account/second-factors/app/").content.decode()
    send(client, "account/second-factors/app/", code=code_of(secret_on(page)))


def sign_in_in_two_steps(world: World, _: Client) -> None:
    secret, client = with_app(world.operator), Client()
    begun = last_sequence()
    client.post("/login/", {"username": "olivia", "password": "password"})
    assert actions_since(begun) == []
    send(client, "login/second-step/", code=code_of(secret))


CHANNEL: Final = {"name": "ops", "kind": "mail", "target": "ops@example.com"}


def add_channel(_: World) -> None:
    Channel.objects.create(name="ops", kind="mail", sealed_target=sealing.seal("x@example.com"))


def on_channel(rest: str, **form: Any) -> Doing:
    def do(_: World, client: Client) -> HttpResponse:
        return send(client, f"notices/channels/{Channel.objects.get().pk}/{rest}", **form)

    return do


DO: Final = "batchops/change/<uuid:pk>/do/<slug:action>/"

CHANGES: dict[tuple[str, str], Way] = {
    ("login/", "right password"): Way(
        (Action.ACCOUNT_SIGNED_IN,),
        lambda w, _: send(Client(), "login/", username="olivia", password="password"),
    ),
    ("login/", "wrong password"): Way(
        (Action.ACCOUNT_SIGN_IN_FAILED,),
        lambda w, _: send(Client(), "login/", username="olivia", password="guessed"),
    ),
    ("logout/", ""): Way((Action.ACCOUNT_SIGNED_OUT,), lambda w, client: send(client, "logout/")),
    ("login/sso/back/", "with nothing"): Way(
        (Action.ACCOUNT_SIGN_IN_FAILED,),
        lambda w, _: Client().get("/login/sso/back/"),
        provider_is_set_up,
    ),
    ("login/second-step/", ""): Way((Action.ACCOUNT_SIGNED_IN,), sign_in_in_two_steps),
    ("account/second-factors/app/", ""): Way((Action.ACCOUNT_FACTOR_ADDED,), add_app),
    ("account/second-factors/<int:pk>/remove/", ""): Way(
        (Action.ACCOUNT_FACTOR_REMOVED,),
        lambda w, client: send(client, f"account/second-factors/{own_factor().pk}/remove/"),
        lambda _: with_app(User.objects.get(username="ada")),
    ),
    ("account/second-factors/recovery-codes/", ""): Way(
        (Action.ACCOUNT_FACTOR_ADDED,),
        lambda w, client: send(client, "account/second-factors/recovery-codes/"),
        lambda _: with_app(User.objects.get(username="ada")),
    ),
    ("auth/user/<int:pk>/sessions/", "reset"): Way(
        (Action.ACCOUNT_FACTOR_REMOVED,),
        on_account("sessions/", which="reset-second-factor"),
        lambda w: with_app(w.operator),
    ),
    ("account/sessions/end/", ""): Way(
        (Action.ACCOUNT_SESSION_ENDED,),
        lambda w, client: send(client, "account/sessions/end/", which="all"),
    ),
    ("auth/user/<int:pk>/sessions/", ""): Way(
        (Action.ACCOUNT_SESSION_ENDED,),
        on_account("sessions/", which="all"),
        lambda w: Client().force_login(w.operator),
    ),
    ("password_change/", ""): Way(
        (Action.ACCOUNT_PASSWORD,),
        lambda w, client: send(
            client,
            "password_change/",
            old_password="password",
            new_password1=PASSWORD,
            new_password2=PASSWORD,
        ),
    ),
    ("auth/user/add/", ""): Way(
        (Action.ACCOUNT_CREATED,),
        lambda w, client: send(
            client, "auth/user/add/", username="olga", password1=PASSWORD, password2=PASSWORD
        ),
    ),
    ("auth/user/<id>/password/", ""): Way(
        (Action.ACCOUNT_PASSWORD,),
        on_account("password/", password1=PASSWORD, password2=PASSWORD),
    ),
    ("auth/user/<path:object_id>/change/", ""): Way(
        (Action.ACCOUNT_CHANGED, Action.ACCOUNT_PERMISSIONS, Action.ACCOUNT_PERMISSIONS),
        edit_account,
    ),
    ("auth/user/<path:object_id>/delete/", ""): Way(
        (Action.ACCOUNT_DELETED,),
        on_account("delete/", post="yes"),
    ),
    ("auth/user/", "delete_selected"): Way(
        (Action.ACCOUNT_DELETED,),
        select("auth/user/", "delete_selected", lambda w: w.operator.pk, post="yes"),
    ),
    ("auth/group/add/", ""): Way(
        (Action.GROUP_CREATED,),
        lambda w, client: send(client, "auth/group/add/", name="Archivist"),
    ),
    ("auth/group/<path:object_id>/change/", ""): Way(
        (Action.GROUP_CHANGED, Action.GROUP_CHANGED),
        on_group("change/", name="Reader"),
    ),
    ("auth/group/<path:object_id>/delete/", ""): Way(
        (Action.GROUP_DELETED,),
        on_group("delete/", post="yes"),
    ),
    ("auth/group/", "delete_selected"): Way(
        (Action.GROUP_DELETED,),
        select(
            "auth/group/",
            "delete_selected",
            lambda w: Group.objects.get(name="Viewer").pk,
            post="yes",
        ),
    ),
    ("batchops/auditentry/review/", "the chosen ones"): Way(
        (Action.AUDIT_REVIEWED,),
        lambda w, client: send(
            client, "batchops/auditentry/review/", entry=["1", "2"], comment="seen"
        ),
    ),
    ("batchops/auditentry/review/", "all that match"): Way(
        (Action.AUDIT_REVIEWED,),
        lambda w, client: send(
            client, "batchops/auditentry/review/?group=account", scope="filter", comment="seen"
        ),
    ),
    ("batchops/auditentry/sample/", ""): Way(
        (Action.AUDIT_SAMPLED,),
        lambda w, client: send(client, "batchops/auditentry/sample/", size="2"),
    ),
    ("batchops/auditentry/sign-off/", ""): Way(
        (Action.AUDIT_SIGNED_OFF,),
        sign_off,
        lambda _: write(at=timezone.now() - dt.timedelta(days=3)),
    ),
    ("batchops/auditentry/export/", ""): Way(
        (Action.AUDIT_EXPORTED,),
        lambda w, client: send(client, "batchops/auditentry/export/", kind="csv"),
    ),
    ("batchops/syncrun/now/", ""): Way(
        (Action.SYNC_REQUESTED,),
        lambda w, client: send(client, "batchops/syncrun/now/", kind="full"),
    ),
    ("batchops/batch/", "pause"): on_batches("pause"),
    ("batchops/batch/", "resume"): on_batches("resume", {"paused": True}),
    ("batchops/batch/", "set_expiry"): on_batches("set_expiry", apply="yes", expiry="week"),
    ("batchops/batch/", "expire_now"): on_batches("expire_now"),
    ("batchops/batch/", "clear_expiry"): on_batches("clear_expiry", {"expires_on": later()}),
    ("batchops/batch/", "set_call_rate"): on_batches("set_call_rate", apply="yes", call_rate="9"),
    ("batchops/batch/", "clear_call_rate"): on_batches("clear_call_rate", {"call_rate": 9}),
    ("batchops/batch/", "auto_call_rate_on"): on_batches(
        "auto_call_rate_on", {"expires_on": later()}
    ),
    ("batchops/batch/", "auto_call_rate_off"): on_batches(
        "auto_call_rate_off", {"auto_call_rate": True}
    ),
    ("batchops/batch/", "refresh"): Way(
        (Action.SYNC_REQUESTED,),
        select("batchops/batch/", "refresh", BATCH),
    ),
    ("batchops/batch/export/", ""): Way(
        (Action.BATCHES_EXPORTED,),
        lambda w, client: send(client, "batchops/batch/export/", kind="csv"),
    ),
    ("batchops/batch/views/save/", "for everybody"): Way(
        (Action.VIEW_SHARED,),
        lambda w, client: send(client, "batchops/batch/views/save/", name="x", shared="on"),
    ),
    ("batchops/batch/views/<int:pk>/remove/", ""): Way(
        (Action.VIEW_REMOVED,),
        lambda w, client: send(client, f"batchops/batch/views/{shared_view(w).pk}/remove/"),
        lambda w: shared_view(w),
    ),
    ("batchops/batch/<path:object_id>/pause/", ""): Way(
        (Action.CHANGE_REQUESTED, Action.CHANGE_CONFIRMED),
        lambda w, client: send(client, f"batchops/batch/{BATCH}/pause/", reason="wrong list"),
        lambda _: Batch.objects.update(paused=False),
    ),
    ("batchops/batch/<path:object_id>/change/", ""): Way(
        REQUESTED,
        lambda w, client: send(client, f"batchops/batch/{BATCH}/change/", paused="pause"),
    ),
    ("batchops/campaign/<path:object_id>/time-zone/", ""): Way(
        (Action.CAMPAIGN_ZONE_SET,),
        lambda w, client: send(client, "batchops/campaign/1/time-zone/", time_zone="Asia/Tokyo"),
        lambda _: Campaign.objects.update(time_zone=""),
    ),
    ("batchops/change/emergency/", ""): Way(
        REQUESTED,
        lambda w, client: send(client, "batchops/change/emergency/"),
    ),
    ("batchops/change/emergency/<int:campaign_id>/", ""): Way(
        REQUESTED,
        lambda w, client: send(client, "batchops/change/emergency/1/"),
    ),
    ("batchops/change/<uuid:pk>/preview/", ""): Way(
        (Action.CHANGE_CONFIRMED,),
        confirm,
        own_draft,
    ),
    ("batchops/change/<uuid:pk>/discard/", ""): Way(
        (Action.CHANGE_DISCARDED,),
        on_change("discard/"),
        own_draft,
    ),
    ("batchops/change/<uuid:pk>/override/", ""): Way(
        (Action.CHANGE_REQUESTED, Action.CHANGE_DISCARDED),
        on_change("override/"),
        own_draft,
    ),
    ("batchops/change/overrides/<int:pk>/seen/", ""): Way(
        (Action.OVERRIDE_SEEN,), see_override, overridden
    ),
    ("notices/mail/", ""): Way(
        (Action.CHANNEL_CHANGED,),
        lambda w, client: send(client, "notices/mail/", least_severity="20"),
    ),
    ("notices/channels/add/", ""): Way(
        (Action.CHANNEL_ADDED,),
        lambda w, client: send(client, "notices/channels/add/", least_severity="20", **CHANNEL),
    ),
    ("notices/channels/<int:pk>/", ""): Way(
        (Action.CHANNEL_CHANGED,), on_channel("", least_severity="30", **CHANNEL), add_channel
    ),
    ("notices/channels/<int:pk>/test/", ""): Way(
        (Action.CHANNEL_TESTED,), on_channel("test/"), add_channel
    ),
    ("notices/channels/<int:pk>/again/", ""): Way(
        (Action.CHANNEL_TRIED_AGAIN,), on_channel("again/"), add_channel
    ),
    ("freezes/", ""): Way(
        (Action.RELEASES_FROZEN,),
        lambda w, client: send(client, "freezes/", reason="audit", ends_at=FREEZE_END),
    ),
    ("freezes/<int:pk>/end/", ""): Way((Action.FREEZE_ENDED,), end_freeze, frozen),
    (DO, "stop"): Way(
        (Action.CHANGE_CANCELLED, Action.BATCH_STOPPED),
        on_change("do/stop/"),
        lambda w: w.confirmed(starts_at=later()),
    ),
    (DO, "continue"): Way((Action.CHANGE_CONTINUED,), on_change("do/continue/"), halted),
    (DO, "approve"): Way((Action.CHANGE_APPROVED,), approve, World.awaiting),
    (DO, "reject"): Way(
        (Action.CHANGE_REJECTED, Action.BATCH_STOPPED),
        on_change("do/reject/", comment="no"),
        World.awaiting,
    ),
    (DO, "move-end"): Way(
        (Action.RESUME_MOVED,),
        on_change("do/move-end/", reason="x", resume_at=f"{later():%Y-%m-%dT%H:%M}"),
        World.pushed,
    ),
    (DO, "cancel-end"): Way((Action.RESUME_CANCELLED,), on_change("do/cancel-end/"), ending),
    (DO, "retry"): Way(REQUESTED, on_change("do/retry/"), failed),
    (DO, "undo"): Way(REQUESTED, on_change("do/undo/"), World.pushed),
    (DO, "resume"): Way(REQUESTED, on_change("do/resume/"), World.pushed),
}
"""Each way to change something at an address."""


@pytest.fixture
def client(administrator: User) -> Client:
    """Somebody who may do everything is signed in."""
    client = Client()
    client.force_login(administrator)
    return client


def everything() -> dict[str, Any]:
    """All rows of all tables, but the trail, what is counted, and what keeps people signed in."""
    aside = (AuditEntry, AuditHead, DeniedTries, Quota, Session)
    models = [one for one in apps.get_models() if one not in aside]
    return {one._meta.label: list(one._default_manager.order_by("pk").values()) for one in models}


def changed_by(doing: Callable[[], object]) -> list[str]:
    """The tables in which something is not as it was."""
    before = everything()
    doing()
    after = everything()
    return [label for label, rows in after.items() if rows != before[label]]


def test_every_address_is_known_to_change_nothing_or_to_leave_an_entry() -> None:
    there = set(addresses(get_resolver().url_patterns))
    changing = {address for address, _ in CHANGES}
    new = there - READS - KEEPS_ASIDE.keys() - changing
    assert not new, (
        f"{sorted(new)} is new here. Does it change anything? Then say in CHANGES how, and what "
        "it leaves in the trail. Does it not? Then name it in READS."
    )
    gone = (READS | KEEPS_ASIDE.keys() | changing) - there
    assert not gone, f"{sorted(gone)} leads nowhere any more: take it out here."
    assert not changing & READS


def test_every_action_of_a_list_and_every_button_is_known_to_leave_an_entry(
    administrator: User,
) -> None:
    request = RequestFactory().get("/")
    request.user = administrator
    there = {
        (f"{model._meta.app_label}/{model._meta.model_name}/", action)
        for model, model_admin in admin.site._registry.items()
        for action in model_admin.get_actions(request)
    }
    there |= {(DO, action) for action in (*actions.ACTIONS, *actions.DRAFTS)}
    concerned = {address for address, _ in there}
    known = {way for way in CHANGES if way[0] in concerned}
    assert known == there, "Say in CHANGES what each action leaves in the trail."


@pytest.mark.parametrize("way", sorted(CHANGES), ids=lambda way: " ".join(way))
def test_it_leaves_exactly_its_entries(world: World, client: Client, way: tuple[str, str]) -> None:
    known = CHANGES[way]
    known.given(world)
    last = last_sequence()
    known.do(world, client)
    assert actions_since(last) == list(known.leaves)


def test_nothing_changes_where_nothing_is_said_to_change(world: World, client: Client) -> None:
    world.pushed()
    tempting = {"post": "yes", "_save": "1", "paused": "pause", "name": "x", "state": "done"}
    tempting |= {"action": "delete_selected", "_selected_action": "1", "reason": "x"}
    for pattern in sorted(READS):
        address = f"/{filled_in(pattern, world)}"
        assert changed_by(partial(client.post, address, tempting)) == [], pattern


def test_looking_at_a_page_changes_nothing_even_where_a_form_would(
    world: World, client: Client
) -> None:
    world.pushed()
    last = last_sequence()
    for pattern in sorted(addresses(get_resolver().url_patterns)):
        address = f"/{filled_in(pattern, world)}"
        assert changed_by(partial(client.get, address)) == [], pattern
    # A draft is its author's alone, and trying to see another's is a fact.
    assert set(actions_since(last)) <= {Action.ACCESS_DENIED}


@pytest.mark.parametrize(
    ("pattern", "form", "table"),
    [
        ("batchops/batch/paste/", {"batch_ids": BATCH}, "batchops.PastedIds"),
        ("batchops/batch/views/save/", {"name": "x"}, "batchops_saved_views.SavedView"),
        ("batchops/batch/views/default/", {}, ""),
        ("batchops/batch/look/", {"page_size": "20"}, "batchops_saved_views.ListSettings"),
        ("notices/read/", {"notice": "all"}, "batchops_notices.InboxItem"),
    ],
)
def test_what_is_kept_aside_touches_nothing_else(
    world: World, client: Client, pattern: str, form: dict[str, str], table: str
) -> None:
    assert pattern in KEEPS_ASIDE
    run_state.halt(world.confirmed(), "the key was refused")
    for condition in CONDITIONS:
        watching.watch(condition)
    last = last_sequence()
    kept = changed_by(lambda: send(client, pattern, **form))
    assert kept == [table] * bool(table)
    assert actions_since(last) == []
