"""Facts about accounts for the trail: sign-ins, accounts, groups and permissions, and by whom.

Passwords and their hashes are never recorded, only that one was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.http import HttpRequest

from batchops.accounts import sessions
from batchops.audit import (
    Actor,
    Fact,
    acting_request,
    client_ip,
    current_actor,
    denials,
    record_now,
)
from batchops.models import Action
from batchops.services import account_names

ACCOUNT_FIELDS: Final = (
    "username",
    "first_name",
    "last_name",
    "email",
    "is_active",
    "is_staff",
    "is_superuser",
)
RIGHTS: Final = ("is_active", "is_staff", "is_superuser")
GROUP_FIELDS: Final = ("name",)
BEFORE: Final = "_trail_before"
"""Attribute in which an instance carries what it was until it is saved or deleted."""

Subject = TypeVar("Subject", bound=Model)


@receiver(user_logged_in)
def record_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    sessions.begin(request)
    detail = {"method": sessions.method_of(request), "browser": sessions.browser_of(request)}
    actor = Actor.of_user(user, _ip(request))
    record_now(Fact(Action.ACCOUNT_SIGNED_IN, actor, outcome="ok", detail=detail))


@receiver(user_logged_out)
def record_sign_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        record_now(Fact(Action.ACCOUNT_SIGNED_OUT, Actor.of_user(user, _ip(request))))


@receiver(user_login_failed)
def record_failed_sign_in(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    name = denials.name_tried(str(credentials.get("username") or ""))
    somebody = Actor.nobody(name, _ip(request))
    detail = {"why": _why_failed(name)}
    if request is not None:
        detail["browser"] = sessions.browser_of(request)
    denials.record(Fact(Action.ACCOUNT_SIGN_IN_FAILED, somebody, outcome="denied", detail=detail))


def _why_failed(name: str) -> str:
    account = User.objects.filter(username=name.replace("\0", "")).first()
    if account is None:
        return "There is no such account."
    return "The password was wrong." if account.is_active else "The account is deactivated."


@receiver(pre_save, sender=User)
def refuse_a_false_name(
    instance: User, update_fields: Iterable[str] | None = None, **_: Any
) -> None:
    """However an account is made or renamed, its name passes for nobody else."""
    if update_fields is None or "username" in update_fields:
        account_names.check(instance.username)


@receiver(pre_save, sender=User)
@receiver(pre_save, sender=Group)
def remember_what_was(
    instance: User | Group, update_fields: Iterable[str] | None = None, **_: Any
) -> None:
    fields = _fields(instance)
    concerned = update_fields is None or {*update_fields} & {*fields, "password"}
    before = _stored(instance) if concerned and instance.pk is not None else None
    setattr(instance, BEFORE, before)


@receiver(post_save, sender=User)
def record_account(
    instance: User, created: bool, update_fields: Iterable[str] | None = None, **_: Any
) -> None:
    if created:
        after = {name: getattr(instance, name) for name in ACCOUNT_FIELDS}
        _record(Action.ACCOUNT_CREATED, instance, after=after)
        return
    before = instance.__dict__.pop(BEFORE, None)
    if before is None:
        return
    _record_differences(Action.ACCOUNT_CHANGED, instance, before)
    if any(before[name] != getattr(instance, name) for name in RIGHTS):
        _end_sessions(instance, "Its rights were changed.")
    # Signing in may renew the hash of a password that stays the same.
    renewed = update_fields is not None and {*update_fields} == {"password"}
    if before["password"] != instance.password and not (renewed and not _was_set(instance)):
        _record(Action.ACCOUNT_PASSWORD, instance)
        _end_sessions(instance, "Its password was changed.")


@receiver(post_save, sender=Group)
def record_group(instance: Group, created: bool, **_: Any) -> None:
    if created:
        _record(Action.GROUP_CREATED, instance, after={"name": instance.name})
    elif (before := instance.__dict__.pop(BEFORE, None)) is not None:
        _record_differences(Action.GROUP_CHANGED, instance, before)


@receiver(pre_delete, sender=User)
@receiver(pre_delete, sender=Group)
def remember_what_goes(instance: User | Group, **_: Any) -> None:
    before: dict[str, Any] = {name: getattr(instance, name) for name in _fields(instance)}
    if isinstance(instance, User):
        before["groups"] = _named(instance.groups.all())
        before["permissions"] = _named(instance.user_permissions.all())
    else:
        before["permissions"] = _named(instance.permissions.all())
        # The database takes its members off without a word.
        members = list(instance.user_set.order_by("pk"))
        before["members"] = _named(members)
        for member in members:
            _record_move(member, "removed", [instance])
    setattr(instance, BEFORE, before)


@receiver(pre_delete, sender=Permission)
def record_who_loses_it(instance: Permission, **_: Any) -> None:
    """A permission that goes is lost by whoever holds it."""
    for owner in (*instance.user_set.order_by("pk"), *instance.group_set.order_by("pk")):
        _record_move(owner, "removed", [instance])


@receiver(post_delete, sender=User)
@receiver(post_delete, sender=Group)
def record_deletion(instance: User | Group, **_: Any) -> None:
    action = Action.ACCOUNT_DELETED if isinstance(instance, User) else Action.GROUP_DELETED
    _record(action, instance, before=instance.__dict__.pop(BEFORE, None))


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def record_permissions(
    instance: User | Group | Permission,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    sender: type[Model],
    **_: Any,
) -> None:
    """Record what was given and taken; `clear` is told only beforehand what it will take."""
    moves = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}
    if action not in moves:
        return
    keys = _linked(sender, instance) if action == "pre_clear" else pk_set
    others = list(model._default_manager.filter(pk__in=keys or ()).order_by("pk"))
    if not others:
        return
    pairs = [(other, [instance]) for other in others] if reverse else [(instance, others)]
    for owner, given in pairs:
        _record_move(owner, moves[action], given)


def _record_move(owner: Model, move: str, given: Iterable[Model]) -> None:
    what = Action.ACCOUNT_PERMISSIONS if isinstance(owner, User) else Action.GROUP_CHANGED
    by_kind: dict[str, list[str]] = {}
    for one in given:
        kind = "groups" if isinstance(one, Group) else "permissions"
        by_kind.setdefault(kind, []).append(_name(one))
    for kind, names in by_kind.items():
        _record(what, owner, detail={move: sorted(names), "kind": kind})
    if isinstance(owner, User):
        _end_sessions(owner, "Its groups or permissions were changed.")


def _end_sessions(account: User, why: str) -> None:
    """End them all, save the one in which a person does it to their own account."""
    request = acting_request.get()
    own = request is not None and request.user.pk == account.pk
    spared = request.session.session_key if request is not None and own else None
    sessions.end_all(account, actor=current_actor(), why=why, spared=spared)


def _linked(through: type[Model], instance: Model) -> list[Any]:
    """The keys on the other side of a relation's table."""
    names = {
        field.name: field.related_model
        for field in through._meta.get_fields()
        if field.is_relation and field.related_model
    }
    own = next(name for name, model in names.items() if isinstance(instance, model))
    other = next(name for name in names if name != own)
    return list(
        through._default_manager.filter(**{own: instance}).values_list(f"{other}_id", flat=True)
    )


def _record_differences(action: Action, instance: Model, before: dict[str, Any]) -> None:
    moved = [
        name
        for name in _fields(instance)
        if name in before and before[name] != getattr(instance, name)
    ]
    if moved:
        _record(
            action,
            instance,
            before={name: before[name] for name in moved},
            after={name: getattr(instance, name) for name in moved},
        )


def _record(
    action: Action,
    subject: Model,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    kind = "account" if isinstance(subject, User) else "group"
    about = {kind: _name(subject), f"{kind}_id": subject.pk}
    record_now(
        Fact(
            action,
            current_actor(),
            outcome="ok",
            before=before,
            after=after,
            detail={**about, **(detail or {})},
        )
    )


def _fields(instance: Model) -> tuple[str, ...]:
    return ACCOUNT_FIELDS if isinstance(instance, User) else GROUP_FIELDS


def _stored(instance: Model) -> dict[str, Any] | None:
    names = _fields(instance)
    if isinstance(instance, User):
        names = (*names, "password")
    return type(instance)._default_manager.filter(pk=instance.pk).values(*names).first()


def _was_set(user: User) -> bool:
    """Whether a new password was set on it, as opposed to a stored hash that was renewed."""
    return getattr(user, "_password", None) is not None


def _named(others: Iterable[Model]) -> list[str]:
    return sorted(_name(other) for other in others)


def _name(subject: Model) -> str:
    if isinstance(subject, User):
        return subject.username
    if isinstance(subject, Permission):
        return f"{subject.content_type.app_label}.{subject.codename}"
    return str(subject)


def _ip(request: HttpRequest | None) -> str:
    return client_ip(request) if request is not None else ""
