"""Views of the batch list: saved, shared, removed, and opened by default.

What a person keeps for themselves is no fact for the trail; what everybody then sees is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from batchops import audit, permissions
from batchops.models import Action
from batchops.saved_views.models import NAME_LENGTH, DefaultView, SavedView
from batchops.services import authorization
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_VIEWS: Final = 30
"""Views that one person may keep; twice as many are shown."""
QUERY_LENGTH: Final = 2_000


def seen_by(user: User) -> list[SavedView]:
    """A person's own views and those that others share, by name."""
    return list(SavedView.objects.filter(_open_to(user))[: 2 * MOST_VIEWS])


def find(pk: int, user: User) -> SavedView | None:
    """A view that a person may open."""
    return SavedView.objects.filter(_open_to(user), pk=pk).first()


@authorization.records_denials
def save(name: str, query: str, *, is_shared: bool, user: User, actor: audit.Actor) -> SavedView:
    """Keep an address of the list under a name; one of the same name is replaced.

    Sharing needs the right to request changes. Raises InvalidInput or NotAllowed.
    """
    authorization.require(user, permissions.VIEW_BATCHES, actor)
    if is_shared:
        authorization.require(user, permissions.REQUEST_CHANGE, actor)
    name = audit.storable_text(" ".join(name.split()))
    if not 0 < len(name) <= NAME_LENGTH:
        raise InvalidInput(f"Give the view a name of at most {NAME_LENGTH} characters.", "name")
    if len(query) > QUERY_LENGTH:
        raise InvalidInput("This view has too many conditions to be kept.")
    with transaction.atomic():
        former = SavedView.objects.select_for_update(no_key=True).filter(owner=user, name=name)
        was = former.first()
        if was is None and SavedView.objects.filter(owner=user).count() >= MOST_VIEWS:
            raise InvalidInput(f"You have {MOST_VIEWS} views. Remove one that you do not need.")
        view = was or SavedView(owner=user, name=name, created_at=timezone.now())
        was_shared = view.is_shared
        view.owner_name, view.query, view.is_shared = user.get_username(), query, is_shared
        view.save()
        if is_shared:
            _record(Action.VIEW_SHARED, view, actor)
        elif was_shared:
            _record(Action.VIEW_REMOVED, view, actor)
    return view


@authorization.records_denials
def remove(view: SavedView, *, user: User, actor: audit.Actor) -> None:
    """Remove a view: one's own, or, as an administrator, any. Raises NotAllowed."""
    if view.owner_id != user.pk and not user.is_superuser:
        raise authorization.denied(
            "Only who saved a view can remove it.", actor, None, "saved_view"
        )
    with transaction.atomic():
        if view.is_shared:
            _record(Action.VIEW_REMOVED, view, actor)
        view.delete()


def default_of(user: User) -> SavedView | None:
    """The view with which the list opens for a person."""
    found = DefaultView.objects.select_related("view").filter(pk=user.pk).first()
    is_theirs = found is not None and (found.view.is_shared or found.view.owner_id == user.pk)
    return found.view if found and is_theirs else None


def open_by_default(view: SavedView | None, user: User) -> None:
    """Open the list with a view from now on, for this person alone; None: as it comes."""
    if view is None:
        DefaultView.objects.filter(pk=user.pk).delete()
    else:
        DefaultView.objects.update_or_create(user=user, defaults={"view": view})


def _open_to(user: User) -> Q:
    return Q(owner=user) | Q(is_shared=True)


def _record(action: Action, view: SavedView, actor: audit.Actor) -> None:
    detail = {"what": view.name, "query": view.query}
    audit.record(audit.Fact(action, actor, outcome="ok", detail=detail))
