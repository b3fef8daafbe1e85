"""Workers killed while they tell a burst of facts: does every message arrive, as what it was?

Run `python -m bench.notices` from the root of the project; prints a Markdown table. Facts are
written to the audit trail of a new database; two workers take them up and send each as a signed
webhook, and again and again one of them is killed (SIGKILL) and another started.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.push import django_ready
from bench.sandbox import ROOT

HEAD: Final = """\
| facts | kills | arrived | repeats | repeats that differ | missing | still waiting \
| wrongly signed | out of order | seconds |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
LEASE_SECONDS: Final = 1
"""So that what a killed worker held is not waited for a minute and a half each time."""


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it was sent, and whether the signature was right."""

    heard: Final[list[tuple[str, bytes]]] = []
    wrong: Final[list[str]] = []

    def do_POST(self) -> None:
        from standardwebhooks import Webhook

        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            Webhook(SECRET).verify(body, dict(self.headers))
        except Exception as error:  # noqa: BLE001  counted
            self.wrong.append(str(error))
        self.heard.append((self.headers["webhook-id"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


def work() -> None:
    """What a worker does about notices, until it is killed."""
    django_ready()
    import datetime as dt

    from django.conf import settings

    from batchops.notices import facts
    from batchops.notices.channels import delivery

    settings.NOTICE_NETWORKS = [ipaddress.ip_network("127.0.0.1/32")]
    delivery.LEASE = dt.timedelta(seconds=LEASE_SECONDS)  # type: ignore[misc]
    while True:
        facts.take_up()
        delivery.start_due()
        time.sleep(0.05)


def run(number: int, kills: int, longest: float, draw: random.Random) -> str:
    """Write the facts, kill workers until all is sent, and hold what arrived against them."""
    django_ready()
    from django.core.management import call_command

    from batchops import audit
    from batchops.notices.channels import sealing
    from batchops.notices.models import Channel, Cursor, Delivery, Notice

    call_command("migrate", verbosity=0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Channel.objects.create(
        name="bench",
        kind=Channel.Kind.WEBHOOK,
        sealed_target=sealing.seal(f"http://127.0.0.1:{server.server_port}/"),
        sealed_secret=sealing.seal(SECRET),
    )
    began = Cursor.objects.get().sequence
    crew, started = [start() for _ in range(2)], time.monotonic()
    action, written = audit.Action.AUDIT_ACKNOWLEDGED, 0

    def is_over() -> bool:
        done = Notice.objects.count() >= number and not Delivery.objects.filter(state="pending")
        return done or time.monotonic() - started > longest

    try:
        for kill in range(kills):
            more = number * (kill + 1) // kills - written
            audit.record_now(*(audit.Fact(action, audit.SYSTEM) for _ in range(more)))
            written += more
            time.sleep(draw.uniform(1.0, 2.5))
            victim = draw.randrange(len(crew))
            crew[victim].send_signal(signal.SIGKILL)
            crew[victim].wait()
            crew[victim] = start()
        while not is_over():
            time.sleep(0.5)
    finally:
        for one in crew:
            one.kill()
            one.wait()
        server.shutdown()
    assert Cursor.objects.get().sequence >= began
    return judged(number, kills, time.monotonic() - started)


def judged(number: int, kills: int, seconds: float) -> str:
    """A line of the table."""
    from batchops.notices.kinds import TRAIL_TOUCHED
    from batchops.notices.models import Delivery

    # The groups that the migration made are told, too, and later.
    told = Delivery.objects.filter(notice__kind=TRAIL_TOUCHED.name).order_by("pk")
    expected = [str(key) for key in told.values_list("message_id", flat=True)]
    waiting = told.filter(state="pending").count() + number - len(expected)
    bodies: dict[str, set[bytes]] = {}
    for key, body in Receiver.heard:
        bodies.setdefault(key, set()).add(body)
    times = Counter(key for key, _ in Receiver.heard)
    first_seen = {key: place for place, key in enumerate(dict(Receiver.heard))}
    places = [first_seen[key] for key in expected if key in first_seen]
    cells = (
        number,
        kills,
        sum(key in bodies for key in expected),
        sum(times.values()) - len(times),
        sum(len(found) > 1 for found in bodies.values()),
        sum(str(one.message_id) not in bodies for one in told.filter(state="sent")),
        waiting,
        len(Receiver.wrong),
        sum(later < earlier for earlier, later in itertools.pairwise(places)),
    )
    return "| " + " | ".join(f"{cell:,}" for cell in cells) + f" | {seconds:.0f} |"


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "bench.notices", "--work"], cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--longest", type=float, default=900, help="seconds, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work()
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ENV_FILE": os.devnull, "DATA_DIR": folder, "LOG_LEVEL": "ERROR"}
        os.environ["SECRET_KEY"] = "of-the-bench"
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{Path(folder) / 'bench.sqlite3'}")
        line = run(given.facts, given.kills, given.longest, random.Random(given.seed))
    print(f"{HEAD}\n{line}")


if __name__ == "__main__":
    main()
