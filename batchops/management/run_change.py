"""From a draft to its end on a command line: review, confirmation, waiting, exit code."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, OutputWrapper
from django.db import close_old_connections
from tqdm import tqdm

from batchops import audit
from batchops.audit import denials
from batchops.management.requested_values import instant, reference, unicode_text
from batchops.management.selection import usage_error
from batchops.management.terminal import one_line
from batchops.models import SUCCESS_STATES, Change, ChangeState
from batchops.services.changes import lifecycle, terms
from batchops.services.preview import summary
from batchops.services.stats.progress import Progress, progress

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ALL_WELL, NOT_ALL, BROKEN_OFF = 0, 1, 130
POLL_SECONDS: Final = 0.5


def add_arguments(parser: ArgumentParser) -> None:
    """Why, in whose name, and how."""
    add = parser.add_argument
    add(
        "--reason",
        type=unicode_text,
        required=True,
        help="Why; it becomes part of the audit trail.",
    )
    add("--reference", type=reference, default="", help="A ticket, for example.")
    add("--at", type=instant, metavar="TIME", help="When to start: ISO 8601 with a time zone.")
    add("--dry-run", action="store_true", help="Show the preview and do nothing.")
    add("--yes", action="store_true", help="Do not ask for confirmation.")
    add("--wait", action="store_true", help="Wait until it has ended.")
    add_person(parser)
    add_json(parser)


def add_person(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="person",
        type=unicode_text,
        required=True,
        metavar="USERNAME",
        help="The account that the audit trail names.",
    )


def add_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print JSON on standard output.")


def person(username: str) -> User:
    """The active user of that name. Raises CommandError."""
    user: User | None = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise _denied(f"--as: there is no user {username!r}.")
    if not user.is_active:
        raise _denied(f"--as: the account {username!r} is not active.")
    return user


def _denied(message: str) -> CommandError:
    fact = audit.Fact(
        audit.Action.ACCESS_DENIED,
        audit.of_command_line(),
        outcome="denied",
        detail={"why": audit.storable_text(message, 300)},
    )
    denials.record(fact)
    return usage_error(message)


def review_json(change: Change) -> dict[str, Any]:
    """The review for other programs."""
    seen = summary.preview(change)
    return {
        "requested": change.patch_json,
        "selection": change.selection,
        "total": seen.total,
        "acting": seen.acting,
        "already": seen.already,
        "skipped": seen.skipped,
        "skipped_because": {share.label: share.number for share in seen.reasons},
        "by_status": {share.label: share.number for share in seen.by_status},
        "risks": [risk.message for risk in seen.risks],
        "approval": seen.approval,
        "closed": seen.closed,
    }


def write_review(change: Change, out: OutputWrapper) -> None:
    """The review for people."""
    seen = summary.preview(change)
    out.write(f"{change.summary().capitalize()}\n{one_line(change.selection)}\n")
    out.write(f"  {seen.acting:,} of {seen.total:,} batches will be changed\n")
    if seen.already:
        out.write(f"  {seen.already:,} are already so\n")
    for share in seen.reasons:
        out.write(f"  {share.number:,} are skipped: {one_line(share.label)}\n")
    for risk in seen.risks:
        out.write(f"  ! {one_line(risk.message)}\n")
    for message in (seen.approval, seen.closed):
        if message:
            out.write(f"  ! {one_line(message)}\n")


def run_to_completion(
    change: Change, user: User, options: Mapping[str, Any], out: OutputWrapper, err: OutputWrapper
) -> int:
    """Review a draft, confirm it, and wait where that is asked for; returns the exit code.

    A draft that is not confirmed is discarded. Raises ChangeError, or CommandError where nobody
    can be asked.
    """
    if not options["json"]:
        write_review(change, out)
    try:
        agreed = not options["dry_run"] and (options["yes"] or _agreed(change, err))
        if agreed:
            change = _confirm(change, user, options)
    except BaseException:
        lifecycle.discard(change, user=user, actor=audit.Actor.of_user(user))
        raise
    if not agreed:
        if options["json"]:
            write_json(review_json(change), out)
        lifecycle.discard(change, user=user, actor=audit.Actor.of_user(user))
        return ALL_WELL if options["dry_run"] else NOT_ALL
    return _report(change, options, out, err)


def _confirm(change: Change, user: User, options: Mapping[str, Any]) -> Change:
    return lifecycle.confirm(
        change,
        user=user,
        actor=audit.Actor.of_user(user),
        reason=options["reason"],
        reference=options["reference"],
        starts_at=options["at"],
        typed_count=change.acting_count,
    )


def _report(
    change: Change, options: Mapping[str, Any], out: OutputWrapper, err: OutputWrapper
) -> int:
    try:
        seen = wait(change, err) if options["wait"] else progress(change)
    except KeyboardInterrupt:
        err.write(
            f"No longer watching. Change {change.short_id} continues; `changes stop` stops it."
        )
        return BROKEN_OFF
    if options["json"]:
        write_json(seen.to_json(), out)
    else:
        write_progress(seen, out)
    return exit_code(seen) if options["wait"] else ALL_WELL


def _agreed(change: Change, err: OutputWrapper) -> bool:
    typed = terms.needs_typed_count(change)
    expected = str(change.acting_count) if typed else "yes"
    err.write(f"Type {expected} to confirm: ", ending="")
    err.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise usage_error("There was no answer: confirm with --yes.")
    return answer.strip().replace(",", "") == expected


def wait(change: Change, err: OutputWrapper) -> Progress:
    """Watch a change until nothing moves any more without a person."""
    shown = ""
    with tqdm(total=change.item_count, unit=" batches", file=err, disable=None) as bar:
        while True:
            seen = progress(change)
            bar.update(seen.settled - bar.n)
            if not seen.is_live or change.is_halted:
                return seen
            if seen.headline != shown and (seen.silence or change.state != ChangeState.RUNNING):
                tqdm.write(seen.headline, file=err)
            shown = seen.headline
            time.sleep(POLL_SECONDS)
            close_old_connections()
            change.refresh_from_db()


def exit_code(seen: Progress) -> int:
    """0 when all batches are as requested, and no reading says otherwise; else 1."""
    well = set(seen.counts) <= set(SUCCESS_STATES) and not seen.not_confirmed
    return ALL_WELL if well else NOT_ALL


def write_progress(seen: Progress, out: OutputWrapper) -> None:
    """How it stands, for people."""
    out.write(f"Change {seen.change.short_id}: {one_line(seen.headline)}\n")
    for state, number in sorted(seen.counts.items()):
        out.write(f"  {number:>9,} {state.replace('_', ' ')}\n")
    if seen.unrequested:
        out.write(f"  {seen.unrequested:>9,} with a field that changed without being requested\n")
    for one in seen.messages:
        out.write(f"  {one.number:>9,} of them: {one_line(one.text)}\n")
    for message in (seen.change.halted_reason, seen.waiting, seen.silence):
        if message and message not in seen.headline:
            out.write(f"  ! {one_line(message)}\n")


def write_json(value: object, out: OutputWrapper) -> None:
    out.write(json.dumps(value, indent=2, default=str) + "\n")
