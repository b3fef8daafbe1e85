"""The worst day, rehearsed: does anything get lost when parts of a deployment die, or are renewed?

    python -m tools.rehearsal

Starts what deploy/ describes on this machine (tools/topology.py), with the sandbox as the vendor.
While a change of many batches is carried out, a web server, a worker, Redis and PostgreSQL are
killed and come back, one after the other; then batchops is upgraded with a migration while a change
waits; then a backup is restored into an empty database with an empty data folder. What the vendor
received is held against the items and the audit trail. Exits with 1, and says what, where they do
not agree.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import http.client
import shutil
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, LiteralString, Self

import psycopg

from batchops.processes import accepts_connections
from batchops.sandbox.embedded import EmbeddedSandbox, make_batch
from batchops.sandbox.records import make_campaign
from batchops.sandbox.world import World
from tools import postgres
from tools.topology import LOOPBACK, NAME, Topology, install

KEY: Final = "rehearsal-key"
IN_FLIGHT: Final = 8
SETTINGS: Final = {
    "WEB_CONCURRENCY": "1",
    "SYLLABLE_READ_LAG": "0",
    "PUSH_LEASE_SECONDS": "5",
    "SYLLABLE_MAX_IN_FLIGHT": str(IN_FLIGHT),
    "LOG_LEVEL": "WARNING",
}
"""Over those of compose.yaml: what was begun by the dead is taken over within seconds."""
CHANGE_SECONDS: Final = 12.0
"""For how long a change lasts at least: the vendor is as slow as that takes."""
AWAY_SECONDS: Final = 1.0
"""For how long what was killed is away."""
VISIT_SECONDS: Final = 0.1
POLL_SECONDS: Final = 0.2
MIGRATION: Final = """\
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("batchops", "{last}")]
    operations = [
        migrations.RunSQL("ALTER TABLE batchops_batch ADD COLUMN rehearsed integer NULL", "")
    ]
"""
"""Of the kind that may run beside the former version."""

CHANGE: Final = "SELECT id FROM batchops_change WHERE reason = %s"
ITEMS: Final = (
    "SELECT state, count(*) FROM batchops_changeitem "  # noqa: S608 - constants
    f"WHERE change_id = ({CHANGE})"
)
ENTRIES: Final = (
    "SELECT batch_id, count(*) FROM batchops_auditentry "  # noqa: S608 - constants
    f"WHERE action = 'batch.applied' AND change_id = ({CHANGE})"
)
FOREIGN: Final = "SELECT count(*) FROM batchops_auditentry WHERE action LIKE 'batch.changed%'"
KEPT: Final[dict[str, LiteralString]] = {
    "batches": "SELECT count(*) FROM batchops_batch",
    "changes": "SELECT count(*) FROM batchops_change",
    "items": "SELECT count(*) FROM batchops_changeitem",
    # Backup and restore are entries themselves.
    "applied": "SELECT count(*) FROM batchops_auditentry WHERE action = 'batch.applied'",
}


class Lost(Exception):
    """Something does not agree; the message says what."""


class Visitor:
    """A context manager: somebody asks nginx for the site all the time, and counts what fails."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._is_over.wait(VISIT_SECONDS):
            self.answers[visit(self._port, "/healthz")] += 1


def visit(port: int, path: str) -> str:
    """The status of an answer through nginx, or the name of the error."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=20, context=context)
    try:
        connection.request("GET", path, headers={"Host": NAME})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


class Rehearsal:
    """The steps, in their order. `report` receives a line about each."""

    def __init__(
        self,
        folder: Path,
        batches: int,
        seconds: float,
        report: Callable[[str], object] = print,
        *,
        change_seconds: float = CHANGE_SECONDS,
    ) -> None:
        self.ids = [f"rehearsal-{number}" for number in range(batches)]
        world = World([make_campaign()], [make_batch(batch_id=name) for name in self.ids])
        latency = 2 * IN_FLIGHT * change_seconds / batches
        self.sandbox = EmbeddedSandbox(world, {"latency": latency}, KEY)
        self.folder = folder
        self._deadline = time.monotonic() + seconds
        self._began = time.monotonic()
        self._report = report

    def run(self, *, whole: bool = True) -> None:
        """All of it, or up to the end of the kills, without pages. Raises Lost."""
        with (
            self.sandbox as sandbox,
            Topology(self.folder, KEY, {**SETTINGS, "SYLLABLE_BASE_URL": sandbox.url}) as topology,
        ):
            self.topology = topology
            self.release = install(self.folder / "first", static_files=whole)
            self._bring_up()
            with Visitor(topology.ports["nginx"]) as visitor:
                self._kill_one_after_the_other()
                self._hold("paused", True)
                if whole:
                    self._upgrade()
                    self._hold("call_rate", 100)
            if set(visitor.answers) != {"200"}:
                raise Lost(f"The site was not there all the time: {dict(visitor.answers)}")
            self._say(f"{visitor.answers['200']} visits meanwhile, all answered")
            if whole:
                self._restore()

    def _bring_up(self) -> None:
        topology = self.topology
        topology.start_servers()
        topology.run(self.release, "migrate", "--no-input", "--verbosity=0")
        for name in (*topology.webs, *topology.workers):
            topology.start(name, self.release)
        topology.start_nginx()
        topology.run(
            self.release,
            "createsuperuser",
            "--no-input",
            "--username=ada",
            "--email=ada@example.com",
            DJANGO_SUPERUSER_PASSWORD=KEY,
        )
        self._wait("the first full sync", self._is_mirrored)
        for name in topology.webs:
            self._wait(name, partial(accepts_connections, LOOPBACK, topology.ports[name]))
        self._say(
            "up: " + ", ".join(("nginx", *topology.webs, *topology.workers, "postgres", "redis"))
        )

    def _kill_one_after_the_other(self) -> None:
        topology = self.topology
        began = time.monotonic()
        self._change("paused", "--pause")
        self._command_seconds = time.monotonic() - began
        victims: list[tuple[str, Callable[[], None]]] = [
            (name, partial(topology.start, name, self.release))
            for name in (topology.webs[0], topology.workers[0])
        ]
        victims += [("redis", topology.start_redis), ("postgres", topology.start_postgres)]
        for number, (name, bring_back) in enumerate(victims, start=1):
            share = number * len(self.ids) // (len(victims) + 1)
            self._wait(f"{share} updates", partial(self._has_updated, share))
            topology.kill(name)
            seen = len(self._updated())
            time.sleep(AWAY_SECONDS)
            bring_back()
            self._say(f"{name} killed at {seen} of {len(self.ids)} batches, and back")
        self._wait("the end of the change", partial(self._has_ended, 1))

    def _upgrade(self) -> None:
        """The next version, beside the former one, while a change waits for its time."""
        topology, release = self.topology, self.folder / "next"
        shutil.copytree(self.release, release)
        folder = release / "batchops" / "migrations"
        last = max(path.stem for path in folder.glob("0*.py"))
        (folder / "9999_rehearsed.py").write_text(MIGRATION.format(last=last))
        self.sandbox.reset_journal()
        soon = dt.timedelta(seconds=2 * self._command_seconds + 5)
        starts_at = dt.datetime.now(dt.UTC) + soon
        self._change("call_rate", "--call-rate=100", f"--at={starts_at.isoformat()}")
        topology.run(release, "migrate", "--no-input", "--verbosity=0")
        for name in (*topology.webs, *topology.workers):
            topology.stop(name)
            topology.start(name, release)
            if name in topology.webs:
                port = topology.ports[name]
                self._wait(name, partial(accepts_connections, LOOPBACK, port))
        if (page := visit(topology.ports["nginx"], "/login/")) != "200":
            raise Lost(f"After the upgrade, the page to sign in is answered with {page}.")
        self._say("upgraded with a migration, one program after the other, while a change waited")
        self._wait("the end of the change", partial(self._has_ended, 2))

    def _restore(self) -> None:
        """The backup on a fresh machine: another database, another data folder."""
        topology = self.topology
        backup, fresh = self.folder / "a.backup", self.folder / "fresh"
        topology.run(self.release, "backup", f"--to={backup}")
        former = self._figures(topology.database_url())
        for name in (*topology.webs, *topology.workers):
            topology.stop(name)
        url = topology.create_database("fresh")
        elsewhere = {"DATABASE_URL": url, "DATABASE_URL_FILE": "", "DATA_DIR": str(fresh)}
        latest = self.folder / "next" if (self.folder / "next").exists() else self.release
        topology.run(latest, "restore", str(backup), **elsewhere)
        topology.run(latest, "verify_audit", **elsewhere)
        restored = self._figures(url)
        if restored != former:
            raise Lost(f"The backup brought back {restored}, of {former}.")
        self._say(f"restored on a fresh database and verified: {restored}")

    def _hold(self, field: str, value: object) -> None:
        """What the vendor received and has, against the items and the trail. Raises Lost."""
        updated = self._updated()
        problems = []
        if set(updated) != set(self.ids):
            problems.append(f"{len(set(self.ids) - set(updated))} batches were never updated")
        there = [self.sandbox.batch(name) for name in self.ids]
        if wrong := sum(batch[field] != value for batch in there):
            problems.append(f"the vendor has another value for {wrong} batches")
        states = dict(self._rows(f"{ITEMS} GROUP BY state", field))
        if states != {"applied": len(self.ids)}:
            problems.append(f"the items ended as {states}")
        entries = dict(self._rows(f"{ENTRIES} GROUP BY batch_id", field))
        if entries != dict.fromkeys(self.ids, 1):
            problems.append(
                f"the trail has {len(entries)} batches, {sum(entries.values())} times as applied"
            )
        if (foreign := self._count(FOREIGN)) != 0:
            problems.append(f"{foreign} batches are said to have been changed by others")
        self.topology.run(self.release, "verify_audit")
        if problems:
            raise Lost(f"{field}: " + "; ".join(problems))
        again = sum(updated.values()) - len(self.ids)
        self._say(
            f"{field}: {len(self.ids)} batches sent ({again} again), and in the trail once each"
        )

    def _change(self, field: str, *requested: str) -> None:
        """A change of all batches, whose reason is the name of the field."""
        asked = ("--all", "--yes", "--as=ada", f"--reason={field}")
        self.topology.run(self.release, "change", *asked, *requested)

    def _updated(self) -> Counter[str]:
        """How often the vendor changed each batch for us."""
        return Counter(
            str(entry["batch_id"])
            for entry in self.sandbox.journal(method="PUT")
            if entry["applied"]
        )

    def _has_updated(self, batches: int) -> bool:
        return len(self._updated()) >= batches

    def _is_mirrored(self) -> bool:
        return self._count("SELECT count(*) FROM batchops_batch") == len(self.ids)

    def _has_ended(self, changes: int) -> bool:
        ended = "SELECT count(*) FROM batchops_change WHERE state = 'finished'"
        return self._count(ended) == changes

    def _figures(self, url: str) -> dict[str, int]:
        """Of a database: how much of what may not be lost it has."""
        return {name: self._count(query, url) for name, query in KEPT.items()}

    def _count(self, query: LiteralString, url: str = "") -> int:
        return int(self._rows(query, url=url)[0][0])

    def _rows(self, query: LiteralString, *values: str, url: str = "") -> list[tuple[Any, ...]]:
        with psycopg.connect(url or self.topology.database_url(), connect_timeout=5) as connection:
            return connection.execute(query, values or None).fetchall()

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        while not condition():
            if time.monotonic() > self._deadline:
                raise Lost(f"There was no time left to wait for {what}.")
            time.sleep(POLL_SECONDS)

    def _say(self, words: str) -> None:
        self._report(f"{time.monotonic() - self._began:5.1f} s  {words}")


@contextlib.contextmanager
def folder_for_it() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="batchops-rehearsal-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def main() -> None:
    """Print what happens; exits with 1 where something was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument(
        "--seconds", type=float, default=180.0, help="The longest that it may take."
    )
    options = parser.parse_args()
    postgres.unwind_on_signals()
    with folder_for_it() as folder:
        try:
            Rehearsal(folder, options.batches, options.seconds).run()
        except (Lost, RuntimeError, postgres.Unobtainable) as error:
            sys.exit(f"LOST: {error}")
    print("Nothing was lost.")


if __name__ == "__main__":
    main()
