"""manage.py changes: list, show, decide on, stop, continue and undo changes from a terminal."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandParser

from batchops import audit
from batchops.management import run_change
from batchops.management.requested_values import unicode_text, whole_number
from batchops.management.selection import usage_error
from batchops.management.terminal import TerminalCommand, one_line
from batchops.models import AuditEntry, Change, ChangeState
from batchops.models.change_item import total
from batchops.services.changes import approvals, drafts, lifecycle, terms
from batchops.services.errors import ChangeError, Moved
from batchops.services.preview import summary
from batchops.services.stats.progress import progress
from batchops.services.trail import sentences
from batchops.syllable.patch import describe_instant

LISTED: Final = 20
SHORTEST: Final = 4
"""Characters of an id that name a change, when no other begins alike."""


class Command(TerminalCommand):
    """Exits as `change` does."""

    help = "List, show, approve, reject, stop, continue and undo changes."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        listing = actions.add_parser("list", help="The latest changes.")
        listing.add_argument("--state", choices=[state.value for state in ChangeState])
        listing.add_argument("--limit", type=whole_number, default=LISTED)
        run_change.add_json(listing)
        showing = self._about_one(actions, "show", "Show how far a change has come.")
        showing.add_argument("--wait", action="store_true", help="Wait until it has ended.")
        stopping = self._about_one(actions, "stop", "Stop a change: nothing more is sent.")
        run_change.add_person(stopping)
        stopping.add_argument("--reason", type=unicode_text, default="")
        continuing = self._about_one(
            actions, "continue", "Continue a change that halted or was stopped."
        )
        run_change.add_person(continuing)
        approving = self._about_one(actions, "approve", "Approve a change of another person.")
        run_change.add_person(approving)
        approving.add_argument("--comment", type=unicode_text, default="")
        approving.add_argument(
            "--fingerprint",
            metavar="SHA256",
            help="The fingerprint of what you looked at, from `changes show`; else you are asked.",
        )
        rejecting = self._about_one(actions, "reject", "Reject a change of another person.")
        run_change.add_person(rejecting)
        rejecting.add_argument("--comment", type=unicode_text, required=True, help="Why.")
        undoing = actions.add_parser("undo", help="Put back the values from before a change.")
        undoing.add_argument("change", metavar="ID")
        run_change.add_arguments(undoing)

    def _about_one(self, actions: Any, name: str, words: str) -> CommandParser:
        parser: CommandParser = actions.add_parser(name, help=words)
        parser.add_argument("change", metavar="ID", help="Its id, or the beginning of it.")
        run_change.add_json(parser)
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        actions: dict[str, Callable[[dict[str, Any]], int]] = {
            "list": self._list,
            "show": self._show,
            "stop": self._stop,
            "continue": self._continue,
            "approve": self._approve,
            "reject": self._reject,
            "undo": self._undo,
        }
        try:
            code = actions[options["action"]](options)
        except Moved as error:
            raise usage_error(" ".join([error.message, *map(_moved, error.since)])) from error
        except ChangeError as error:
            raise usage_error(error.message) from error
        if code:
            sys.exit(code)

    def _list(self, options: dict[str, Any]) -> int:
        if options["limit"] < 1:
            raise usage_error("--limit: give a number of 1 or more.")
        found = Change.objects.visible()
        if options["state"]:
            found = found.filter(state=options["state"])
        latest = found[: options["limit"]]
        if options["json"]:
            run_change.write_json([_as_json(change) for change in latest], self.stdout)
            return run_change.ALL_WELL
        for change in latest:
            state: str = change.state
            if change.is_open and (change.is_halted or change.waiting_reason):
                state = "halted" if change.is_halted else "waiting"
            self.stdout.write(
                f"{change.short_id}  {change.created_at:%Y-%m-%d %H:%M}  {state:<17}  "
                f"{change.item_count:>7,}  {one_line(change.requested_by_name)}: "
                f"{one_line(change.summary())}"
            )
        return run_change.ALL_WELL

    def _show(self, options: dict[str, Any]) -> int:
        change = _named(options["change"])
        seen = run_change.wait(change, self.stderr) if options["wait"] else progress(change)
        if options["json"]:
            run_change.write_json(_as_json(change) | seen.to_json(), self.stdout)
        else:
            self.stdout.write(
                f"{one_line(change.summary().capitalize())}\n{one_line(change.selection)}\n"
                f"{one_line(change.requested_by_name)}: "
                f"{one_line(f'{change.reason} {change.reference}'.rstrip())}"
            )
            run_change.write_progress(seen, self.stdout)
            if change.state == ChangeState.AWAITING_APPROVAL:
                self._write_terms(change)
        return run_change.exit_code(seen) if options["wait"] else run_change.ALL_WELL

    def _stop(self, options: dict[str, Any]) -> int:
        user = run_change.person(options["person"])
        change = lifecycle.stop(
            _named(options["change"]),
            user=user,
            actor=audit.Actor.of_user(user),
            reason=options["reason"],
        )
        return self._report(change, options)

    def _continue(self, options: dict[str, Any]) -> int:
        user = run_change.person(options["person"])
        change = lifecycle.proceed(
            _named(options["change"]), user=user, actor=audit.Actor.of_user(user)
        )
        return self._report(change, options)

    def _approve(self, options: dict[str, Any]) -> int:
        user = run_change.person(options["person"])
        actor = audit.Actor.of_user(user)
        change = _named(options["change"])
        seen = options["fingerprint"]
        if seen is None:
            approvals.require_may_decide(change, user, actor)
            self._write_terms(change)
            seen = change.fingerprint if self._agreed() else ""
        if not seen:
            return run_change.NOT_ALL
        approved = approvals.approve(
            change, user=user, actor=actor, seen=seen, comment=options["comment"]
        )
        return self._report(approved, options)

    def _reject(self, options: dict[str, Any]) -> int:
        user = run_change.person(options["person"])
        rejected = approvals.reject(
            _named(options["change"]),
            user=user,
            actor=audit.Actor.of_user(user),
            comment=options["comment"],
        )
        return self._report(rejected, options)

    def _agreed(self) -> bool:
        self.stderr.write("Type yes to approve exactly this: ", ending="")
        self.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise usage_error(
                "There was no answer: give --fingerprint, as `changes show` prints it."
            )
        return answer.strip() == "yes"

    def _write_terms(self, change: Change) -> None:
        """What an approver has to know: all that determines what would run."""
        write = self.stdout.write
        write(f"{change.requested_by_name} requests: {change.summary()}")
        write(f"  {change.acting_count:,} of {change.item_count:,} batches: {change.selection}")
        write(f"  reason: {change.reason} {change.reference}".rstrip())
        for words, moment in (("starts", change.starts_at), ("paused until", change.resume_at)):
            if moment:
                write(f"  {words} {describe_instant(moment, dt.UTC)}")
        for risk in summary.risks(change):
            write(f"  ! {risk.message}")
        for entry in approvals.moved_since(change):
            write(f"  ! since it was confirmed: {_moved(entry)}")
        write(f"  fingerprint {change.fingerprint}")

    def _undo(self, options: dict[str, Any]) -> int:
        terms.required_reason(options["reason"])
        user = run_change.person(options["person"])
        undo = drafts.draft_undo(
            _named(options["change"]), user=user, actor=audit.Actor.of_user(user)
        )
        return run_change.run_to_completion(undo, user, options, self.stdout, self.stderr)

    def _report(self, change: Change, options: dict[str, Any]) -> int:
        seen = progress(change)
        if options["json"]:
            run_change.write_json(seen.to_json(), self.stdout)
        else:
            run_change.write_progress(seen, self.stdout)
        return run_change.ALL_WELL


def _named(text: str) -> Change:
    """The change whose id begins so. Raises CommandError for none, or more than one."""
    beginning = text.lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},32}}", beginning):
        raise usage_error(
            f"{text!r} is not the id of a change, nor its first {SHORTEST} characters."
        )
    first, last = UUID(beginning.ljust(32, "0")), UUID(beginning.ljust(32, "f"))
    found = list(Change.objects.visible().filter(pk__range=(first, last))[:2])
    if not found:
        raise usage_error(f"There is no change {text}. `manage.py changes list` shows the latest.")
    if len(found) > 1:
        raise usage_error(f"More than one change begins with {text}; give more of its id.")
    return found[0]


def _moved(entry: AuditEntry) -> str:
    """What moved the terms of a change, in words."""
    moves = sentences.differences(entry)
    values = "; ".join(f"{one.before} → {one.after}" for one in moves)
    return f"{sentences.sentence(entry)} ({values})" if values else f"{entry.who}."


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "id": str(change.pk),
        "state": change.state,
        "summary": change.summary(),
        "selection": change.selection,
        "reason": change.reason,
        "reference": change.reference,
        "requested_by": change.requested_by_name,
        "created_at": change.created_at,
        "starts_at": change.starts_at,
        "resume_at": change.resume_at,
        "fingerprint": change.fingerprint,
        "finished_at": change.finished_at,
        "halted": change.halted_reason,
        "counts": change.counts_json,
        "total": total(change.counts_json) or change.item_count,
    }
