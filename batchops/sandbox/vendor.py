"""The vendor's side of each request: what it answers, and what that does to the world."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any, Final

from batchops.sandbox.counts import detailed_status_counts, status_counts
from batchops.sandbox.faults import FaultKind, Faults
from batchops.sandbox.queries import (
    BATCH_PROPERTIES,
    CAMPAIGN_PROPERTIES,
    PageRequest,
    Parameters,
    read_page_request,
)
from batchops.sandbox.records import Batch, Wire, batch_on_the_wire, campaign_on_the_wire
from batchops.sandbox.rules import Invalid, read_update, status_of, updated, with_unrequested_change
from batchops.sandbox.world import World

KEY_OWNER: Final = "integration@harborline.example"
"""Whom the vendor names for changes made with the key: never the person behind it."""
DEFAULT_MAX_LIMIT: Final = 500
ENDED_STATUSES: Final = frozenset({"FAILED", "CANCELED"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: an HTTP status and a body; `applied` when the world was changed."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    applied: bool = False


def json_answer(status: int, payload: object, *, applied: bool = False) -> Answer:
    """An answer with a JSON body."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    return Answer(status, body, applied=applied)


def problem(status: int, text: str) -> Answer:
    """An error with one sentence of detail."""
    return json_answer(status, {"detail": text})


def invalid(error: Invalid) -> Answer:
    """422 in the vendor's `HTTPValidationError` shape."""
    return json_answer(422, {"detail": error.details})


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer before it is encoded, so that faults can still distort it."""

    payload: Any
    applied: bool = False


@dataclass(slots=True)
class Vendor:
    """The API over one world, for one key and one organisation.

    `max_limit` is the largest page given: the vendor documents none.
    """

    world: World
    key: str
    key_owner: str = KEY_OWNER
    max_limit: int = DEFAULT_MAX_LIMIT

    def list_batches(
        self, parameters: Parameters, faults: Faults, fault: FaultKind | None, moment: float
    ) -> Reply:
        """One page of batches as of a moment (see `World.as_it_was`). Raises `Invalid`."""
        request = read_page_request(parameters, BATCH_PROPERTIES, self.max_limit, faults)
        now = dt.datetime.now(dt.UTC)
        world = self.world.as_it_was(moment)
        keys, total = request.items_of(world.select(request.selection, now), faults, fault, str)
        items = [self._whole(world.batches[key], now, faults) for key in keys]
        return Reply(request.envelope(items, total, faults.total_count))

    def get_batch(self, batch_id: str, faults: Faults, moment: float) -> Answer | Reply:
        """One batch as of a moment, with its counts of requests."""
        batch = self.world.batch_as_it_was(batch_id, moment)
        if batch is None:
            return _no_such_batch(batch_id)
        status = status_of(batch, dt.datetime.now(dt.UTC))
        counts = status_counts(batch, status)
        campaign = self.world.campaigns.get(batch.campaign_id)
        details = detailed_status_counts(batch, counts, campaign.mode if campaign else None)
        wire = batch_on_the_wire(batch, status, faults.instant_format())
        return Reply(wire | {"status_counts": counts, "detailed_status_counts": details})

    def update_batch(
        self, batch_id: str, body: bytes, faults: Faults, fault: FaultKind | None
    ) -> Answer | Reply:
        """Change what the body names and answer with the whole batch. Raises `Invalid`."""
        before = self.world.batches.get(batch_id)
        if before is None:
            return _no_such_batch(batch_id)
        if faults.ended_status and _has_ended(before):
            return _refuse_ended(faults.ended_status, before)
        values = read_update(_read_json(body), faults.null_handling)
        now = dt.datetime.now(dt.UTC)
        wanted = updated(before, values, now, self.key_owner)
        if fault in (FaultKind.NOT_APPLIED, FaultKind.NOT_KEPT):
            shown = before if fault is FaultKind.NOT_APPLIED else wanted
            return Reply(self._whole(shown, now, faults))
        kept = wanted
        if fault in (FaultKind.EXTRA_CHANGE, FaultKind.EXTRA_CHANGE_HIDDEN):
            kept = with_unrequested_change(wanted, values)
        self.world.put(kept)
        shown = wanted if fault is FaultKind.EXTRA_CHANGE_HIDDEN else kept
        return Reply(self._whole(shown, now, faults), applied=True)

    def list_campaigns(
        self, parameters: Parameters, faults: Faults, fault: FaultKind | None
    ) -> Reply:
        """One page of campaigns. Raises `Invalid`."""
        request = read_page_request(parameters, CAMPAIGN_PROPERTIES, self.max_limit, faults)
        write = faults.instant_format()
        wires = [campaign_on_the_wire(one, write) for one in self.world.campaigns.values()]
        items, total = request.items_of(
            _arranged(wires, request), faults, fault, lambda one: one["id"]
        )
        return Reply(request.envelope(list(items), total, faults.total_count))

    def get_campaign(self, campaign_id: str, faults: Faults) -> Answer | Reply:
        """One campaign."""
        if not campaign_id.isdecimal():
            message = "Input should be a valid integer, unable to parse string as an integer"
            place = {"loc": ["path", "campaign_id"], "msg": message, "type": "int_parsing"}
            raise Invalid([place])
        campaign = self.world.campaigns.get(int(campaign_id))
        if campaign is None:
            return problem(404, f"Campaign {campaign_id} not found")
        return Reply(campaign_on_the_wire(campaign, faults.instant_format()))

    def _whole(self, batch: Batch, now: dt.datetime, faults: Faults) -> Wire:
        return batch_on_the_wire(batch, status_of(batch, now), faults.instant_format())


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        place = {"loc": ["body", 0], "msg": "JSON decode error", "type": "json_invalid"}
        raise Invalid([place]) from error


def _no_such_batch(batch_id: str) -> Answer:
    return problem(404, f"Batch {batch_id} not found")


def _has_ended(batch: Batch) -> bool:
    return batch.deleted_at is not None or batch.status in ENDED_STATUSES


def _refuse_ended(status: int, batch: Batch) -> Answer:
    text = f"Batch {batch.batch_id} can no longer be updated"
    if status != 422:
        return problem(status, text)
    return invalid(Invalid([{"loc": ["path", "batch_id"], "msg": text, "type": "value_error"}]))


def _arranged(campaigns: list[Wire], request: PageRequest) -> list[Wire]:
    """Our reading of the vendor's search: part of a text, or the whole of any other value."""
    selection = request.selection
    for name, value in selection.searches:
        campaigns = [one for one in campaigns if _holds(one.get(name), value)]
    key = selection.order_by or "id"
    return sorted(campaigns, key=lambda one: _sortable(one.get(key)), reverse=selection.descending)


def _holds(held: object, value: str) -> bool:
    if isinstance(held, str):
        return value.casefold() in held.casefold()
    return value in held if isinstance(held, list) else str(held) == value


def _sortable(value: object) -> tuple[bool, int, str]:
    return (value is None, value, "") if isinstance(value, int) else (value is None, 0, str(value))
