"""The control endpoint under /_sandbox/: faults, the journal, and changes made by others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from batchops.sandbox.fault_chooser import FaultChooser
from batchops.sandbox.fault_values import InvalidFaults
from batchops.sandbox.faults import Faults
from batchops.sandbox.journal import ENTRIES_KEPT, Journal
from batchops.sandbox.records import (
    CONSOLE_USER,
    Batch,
    InvalidRecord,
    Wire,
    batch_fields,
    make_batch,
    stored_batch,
)
from batchops.sandbox.rules import status_of
from batchops.sandbox.vendor import Answer, json_answer
from batchops.sandbox.world import World

PREFIX = "/_sandbox/"


class InvalidControl(ValueError):
    """A request to the control endpoint makes no sense; the message says why."""


@dataclasses.dataclass(slots=True)
class Control:
    """What can be seen and done behind the vendor's back."""

    world: World
    chooser: FaultChooser
    journal: Journal

    def answer(self, method: str, path: str, parameters: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request whose raw path begins with `PREFIX`; needs no key."""
        name, _, identifier = path.removeprefix(PREFIX).partition("/")
        try:
            payload = self._run(method, name, unquote(identifier), parameters, body)
        except KeyError as error:
            return json_answer(404, {"error": f"There is no batch {error}."})
        except (InvalidControl, InvalidFaults, InvalidRecord) as error:
            return json_answer(400, {"error": str(error)})
        return json_answer(200, payload)

    def _run(
        self, method: str, name: str, batch_id: str, parameters: Mapping[str, str], body: bytes
    ) -> object:
        match (method, name, bool(batch_id)):
            case ("GET", "health", False):
                return self.health()
            case (_, "faults", False):
                return self._faults(method, body)
            case (_, "journal", False):
                return self._journal(method, parameters)
            case ("GET", "batches", False):
                return [self.raw(batch) for batch in self.world.batches.values()]
            case ("POST", "batches", False):
                return self.raw(self.add_batch(**_read_object(body)))
            case (_, "batches", True):
                return self._one_batch(method, batch_id, parameters, body)
        raise InvalidControl(f"The sandbox has no {method} {PREFIX}{name}.")

    def health(self) -> Wire:
        """That it lives, and how much it holds."""
        return {
            "status": "ok",
            "batches": len(self.world.batches),
            "campaigns": len(self.world.campaigns),
            "received": self.journal.received,
        }

    def _faults(self, method: str, body: bytes) -> Wire:
        match method:
            case "PUT":
                self.chooser.set(self.chooser.faults.updated(_read_object(body)))
            case "DELETE":
                self.chooser.set(Faults())
            case "GET":
                pass
            case _:
                raise InvalidControl("Faults accept GET, PUT and DELETE.")
        return self.chooser.faults.to_json()

    def _journal(self, method: str, parameters: Mapping[str, str]) -> object:
        if method == "DELETE":
            self.journal.clear()
            return {"received": 0}
        if method != "GET":
            raise InvalidControl("The journal accepts GET and DELETE.")
        return self.journal.entries(
            after=_read_count(parameters, "after", 0),
            method=parameters.get("method"),
            limit=_read_count(parameters, "limit", ENTRIES_KEPT),
        )

    def _one_batch(
        self, method: str, batch_id: str, parameters: Mapping[str, str], body: bytes
    ) -> object:
        match method:
            case "GET":
                return self.raw(self.world.batches[batch_id])
            case "POST":
                return self.raw(self.edit_batch(batch_id, **_read_object(body)))
            case "DELETE" if "hard" in parameters:
                self.world.vanish(batch_id)
                return {"vanished": batch_id}
            case "DELETE":
                reason = parameters.get("reason", "User request")
                return self.raw(self.delete_batch(batch_id, reason))
        raise InvalidControl("A batch accepts GET, POST and DELETE.")

    def raw(self, batch: Batch) -> Wire:
        """A batch as it truly is now, whatever readers are shown."""
        return stored_batch(batch) | {"status": status_of(batch, dt.datetime.now(dt.UTC))}

    def add_batch(self, **fields: Any) -> Batch:
        """Add a batch made by `make_batch` (see `World.add`). Raises `InvalidRecord`."""
        batch = make_batch(**fields)
        self.world.add(batch)
        return batch

    def edit_batch(self, batch_id: str, /, **fields: Any) -> Batch:
        """Change a batch as another user in the vendor's console would.

        Raises KeyError for an unknown batch, `InvalidRecord` for an unknown field.
        """
        mark: Wire = {"last_updated_at": dt.datetime.now(dt.UTC), "last_updated_by": CONSOLE_USER}
        values = mark | batch_fields(fields)
        if values.pop("batch_id", batch_id) != batch_id:
            raise InvalidRecord("A batch_id cannot be changed.")
        batch = dataclasses.replace(self.world.batches[batch_id], **values)
        self.world.put(batch)
        return batch

    def delete_batch(self, batch_id: str, reason: str) -> Batch:
        """Delete softly, as the vendor does: the batch stays and says when and why."""
        now = dt.datetime.now(dt.UTC)
        return self.edit_batch(batch_id, status="CANCELED", deleted_at=now, deleted_reason=reason)


def _read_object(body: bytes) -> Wire:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise InvalidControl(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise InvalidControl("The body is not a JSON object.")
    return value


def _read_count(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise InvalidControl(f"{name}: {text!r} is not a whole number of 0 or more.")
    return int(text)
