"""The questions that the batch list answers."""

from __future__ import annotations

import abc
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, TypeVar, cast

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from batchops.admin.ui.base import current_user
from batchops.admin.ui.parameters import require_choice
from batchops.models import (
    Batch,
    BatchCount,
    BatchCountQuerySet,
    BatchQuerySet,
    BatchQuestions,
    Campaign,
    Hold,
    KnownStatus,
)
from batchops.services.changes import pasted_ids

NOT_STATED: Final = "-"
"""Stands in an address for a status or mode that the vendor left empty."""

NOTHING: Final = Q(pk__in=())
"""A condition that no batch fulfils."""

Choices = list[tuple[str, str]]
Asked = TypeVar("Asked", bound=BatchQuestions[Any])


class BatchFilter(admin.SimpleListFilter):
    """A filter whose lack of a value, like an empty one, filters nothing."""

    is_shown_apart = False
    """Whether the page says in a place of its own what this filter does."""

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Batch],
        model_admin: admin.ModelAdmin[Batch],
    ) -> None:
        self.request = request
        super().__init__(request, params, model, model_admin)

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Batch]) -> QuerySet[Batch]:
        value = self.value()
        if not value:
            return queryset
        # PostgreSQL takes no NUL in a text, and no batch can have one.
        return (
            queryset.none() if "\0" in value else self.narrow(cast(BatchQuerySet, queryset), value)
        )

    is_counted: ClassVar[bool] = False
    """Whether the numbers that are kept can be narrowed just as the batches themselves."""

    @abc.abstractmethod
    def narrow(self, batches: Asked, value: str) -> Asked:
        """The batches that a value leaves; or their numbers, where these are counted."""

    def count(self, counts: BatchCountQuerySet) -> BatchCountQuerySet | None:
        """The numbers of what is left; None where nobody keeps them."""
        if not self.is_in_force:
            return counts
        value = self.value() or ""
        if not self.is_counted or "\0" in value:
            return None
        return self.narrow(counts, value)

    @property
    def chosen(self) -> str:
        """What was chosen, in words; empty when nothing was."""
        value = self.value()
        return dict(self.options).get(value, value) if value else ""

    @property
    def parameters(self) -> dict[str, str]:
        """What of the address belongs to this filter; empty values are left out of addresses."""
        return {str(self.parameter_name): self.value() or ""}

    @property
    def is_in_force(self) -> bool:
        """Whether the address asks for it."""
        return bool(self.value())

    @property
    def options(self) -> Choices:
        """All there is to choose from, with a value from the address that is not among it."""
        known = [(str(value), str(title)) for value, title in self.lookup_choices]
        value = self.value()
        if value and value not in dict(known):
            known.append((value, f"Unknown: {value[:60]}"))
        return known


Answer = Callable[[Any, HttpRequest], QuerySet[Any]]


class ShowFilter(BatchFilter):
    """One click for each question that people ask most; without one, what is present."""

    title = "show"
    parameter_name = "show"
    default: Final = "present"
    is_shown_apart = True
    seldom: Final = ("changed_externally", "shared_id", "missing", "everything")
    """Questions that are offered after the others."""

    QUESTIONS: ClassVar[dict[str, tuple[str, Answer]]] = {
        "present": ("All present", lambda batches, _: batches.present()),
        "on": ("Live, not paused", lambda batches, _: batches.live_and_not_paused()),
        "paused": ("Paused", lambda batches, _: batches.paused()),
        "no_end": ("Paused with no end", lambda batches, _: batches.paused_with_no_end()),
        "mine": (
            "Paused by me",
            lambda batches, request: batches.paused().filter(
                pk__in=_held(change__requested_by=current_user(request))
            ),
        ),
        "expiring_24h": (
            "Expiring in 24 h",
            lambda batches, _: batches.expiring_within(dt.timedelta(hours=24)),
        ),
        "expiring_7d": (
            "Expiring in 7 days",
            lambda batches, _: batches.expiring_within(dt.timedelta(days=7)),
        ),
        "failed": ("Failed", lambda batches, _: batches.failed()),
        "changed_externally": ("Changed outside", lambda batches, _: batches.changed_externally()),
        "shared_id": ("Id in several campaigns", lambda batches, _: batches.sharing_their_id()),
        "missing": (
            "Missing",
            lambda batches, _: batches.missing(),
        ),
        "everything": ("Everything, including deleted", lambda batches, _: batches),
    }
    COUNTED: Final = frozenset(QUESTIONS) - {"no_end", "mine", "expiring_24h", "expiring_7d"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        require_choice(self.parameter_name, self.value(), self.QUESTIONS)
        return [(value, title) for value, (title, _) in self.QUESTIONS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Batch]) -> QuerySet[Batch]:
        _, answer = self.QUESTIONS[self.asked]
        return answer(cast(BatchQuerySet, queryset), request)

    def narrow(self, batches: Asked, value: str) -> Asked:
        return batches

    def count(self, counts: BatchCountQuerySet) -> BatchCountQuerySet | None:
        if self.asked not in self.COUNTED:
            return None
        _, answer = self.QUESTIONS[self.asked]
        return cast(BatchCountQuerySet, answer(counts, self.request))

    @property
    def chosen(self) -> str:
        """The question that is answered, also when nobody chose it."""
        return self.QUESTIONS[self.asked][0]

    @property
    def asked(self) -> str:
        """The question that is asked; everything that was pasted is shown, whatever it is."""
        return self.value() or ("everything" if self.request.GET.get("pasted") else self.default)

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, title in self.options:
            yield {
                "selected": self.asked == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}, ["p"]),
                "display": title,
                "seldom": value in self.seldom and self.asked != value,
            }


class SelectFilter(BatchFilter):
    """A filter that is chosen from a list: those that are so, or those that are not."""

    is_select = True
    further_parameters: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        cls.further_parameters = (f"{cls.parameter_name}_not",)

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], *more: Any) -> None:
        self.not_name = self.further_parameters[0]
        self.is_negated = bool(params.pop(self.not_name, [""])[-1])
        require_choice(self.not_name, request.GET.get(self.not_name), ("1",))
        super().__init__(request, params, *more)

    def narrow(self, batches: Asked, value: str) -> Asked:
        condition = self.condition(value)
        return batches.filter(~condition if self.is_negated else condition)

    @abc.abstractmethod
    def condition(self, value: str) -> Q:
        """What a batch with a value fulfils."""

    @property
    def chosen(self) -> str:
        left_out = self.is_negated and self.value()
        return f"not {self.chosen_option}" if left_out else self.chosen_option

    @property
    def chosen_option(self) -> str:
        """The option that is chosen, or, where negated, left out."""
        return super().chosen

    @property
    def parameters(self) -> dict[str, str]:
        """What of the address belongs to this filter."""
        negated = "1" if self.is_negated else ""
        return {str(self.parameter_name): self.value() or "", self.not_name: negated}


class StatusFilter(SelectFilter):
    """The vendor's status, those that batchops does not know included."""

    title = "status"
    parameter_name = "status"
    is_counted = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        numbers = BatchCount.objects.order_by("status").values("status")
        there = numbers.annotate(batches=Sum("number")).filter(batches__gt=0)
        found = there.values_list("status", flat=True)
        return [(status or NOT_STATED, _status_words(status)) for status in found]

    def condition(self, value: str) -> Q:
        return Q(status="" if value == NOT_STATED else value)


class CampaignFilter(SelectFilter):
    """One campaign."""

    title = "campaign"
    parameter_name = "campaign"
    is_counted = True

    @property
    def chosen_option(self) -> str:
        """Name and number: two campaigns may have the same name."""
        value = self.value()
        return f"{super().chosen_option} (number {value})" if value else ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(str(campaign.pk), str(campaign)) for campaign in campaigns(request)]

    def condition(self, value: str) -> Q:
        known = {str(campaign.pk) for campaign in campaigns(self.request)}
        return Q(campaign_id=int(value)) if value in known else NOTHING


class ModeFilter(SelectFilter):
    """How the campaign reaches people: voice, sms, email."""

    title = "mode"
    parameter_name = "mode"
    is_counted = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        modes = sorted({campaign.mode for campaign in campaigns(request)})
        return [(mode or NOT_STATED, mode or "Not stated") for mode in modes]

    def condition(self, value: str) -> Q:
        mode = "" if value == NOT_STATED else value
        using = [item.pk for item in campaigns(self.request) if item.mode == mode]
        return Q(campaign_id__in=using)


class LabelFilter(SelectFilter):
    """A label of the campaign."""

    title = "label"
    parameter_name = "label"
    is_counted = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        labels = {str(label) for campaign in campaigns(request) for label in campaign.labels}
        return [(label, label) for label in sorted(labels) if label]

    def condition(self, value: str) -> Q:
        bearing = [item.pk for item in campaigns(self.request) if value in item.labels]
        return Q(campaign_id__in=bearing)


class PausedByFilter(SelectFilter):
    """Who holds what is paused: a person, or outside batchops."""

    title = "held by"
    parameter_name = "paused_by"
    outside: Final = ":outside"
    """No name of an account has a colon."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        standing = Hold.objects.filter(lifted_at=None).order_by()
        names = set(standing.values_list("change__requested_by_name", flat=True).distinct())
        people = [(name, name) for name in sorted(filter(None, names))]
        return [*people, (self.outside, "Outside batchops")] if None in names else people

    def condition(self, value: str) -> Q:
        if value == self.outside:
            return Q(paused=True, pk__in=_held(change=None))
        return Q(paused=True, pk__in=_held(change__requested_by_name=value))


class HeldForFilter(SelectFilter):
    """For how long at least the oldest hold on a batch has stood."""

    title = "held for"
    parameter_name = "held_for"
    AGES: ClassVar[dict[str, tuple[str, dt.timedelta]]] = {
        "1d": ("A day or longer", dt.timedelta(days=1)),
        "7d": ("7 days or longer", dt.timedelta(days=7)),
        "30d": ("30 days or longer", dt.timedelta(days=30)),
        "90d": ("90 days or longer", dt.timedelta(days=90)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(value, words) for value, (words, _) in self.AGES.items()]

    def condition(self, value: str) -> Q:
        if value not in self.AGES:
            return NOTHING
        since = timezone.now() - self.AGES[value][1]
        return Q(paused=True, pk__in=_held(placed_at__lte=since))


class PastedFilter(BatchFilter):
    """A list of ids that the person pasted."""

    title = "pasted list"
    parameter_name = "pasted"
    is_shown_apart = True

    @property
    def chosen(self) -> str:
        pasted = pasted_ids.kept(self.value() or "", current_user(self.request))
        if pasted is None:
            return "no longer there" if self.value() else ""
        return f"{pasted.found_count:,} found, {len(pasted.unknown):,} unknown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return []

    def narrow(self, batches: Asked, value: str) -> Asked:
        pasted = pasted_ids.kept(value, current_user(self.request))
        if pasted is None:
            return batches.none()
        return batches.filter(pk__in=pasted_ids.batches_of(pasted).order_by().values("pk"))


SELECTS: Final = (
    StatusFilter,
    CampaignFilter,
    ModeFilter,
    LabelFilter,
    PausedByFilter,
    HeldForFilter,
)


def campaigns(request: HttpRequest) -> list[Campaign]:
    """All campaigns by name, read once for a request."""
    found: list[Campaign] | None = getattr(request, "_campaigns", None)
    if found is None:
        fields = ("id", "campaign_name", "mode", "labels")
        found = list(Campaign.objects.only(*fields))
        request._campaigns = found  # type: ignore[attr-defined]
    return found


def _held(**which: Any) -> QuerySet[Hold, Any]:
    """The batches on which such holds stand."""
    return Hold.objects.filter(lifted_at=None, **which).values("batch")


def _status_words(status: str) -> str:
    if status in KnownStatus.values:
        return str(KnownStatus(status).label)
    return status or "Not stated"
