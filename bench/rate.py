"""How much of what a vendor allows is used, and how often it has to refuse.

Run `python -m bench.rate` from the root of the project; prints Markdown tables. Real workers push a
change through a vendor of its own (`bench.rate_vendor`) that allows so many requests a second, and
beside them, against the same, what a person would write: a pool of `requests` threads that waits as
`Retry-After` says and tries again. What counts is what the vendor saw in each second.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from bench.push import KEY, process
from bench.sandbox import ROOT

LATENCY: Final = 0.05
LEARNING_SECONDS: Final = 20
HEAD: Final = """\
| allowed a second | burst | Retry-After | who | workers | used a second | of what is allowed \
| refused | refused while learning |
|---:|---:|---|---|---:|---:|---:|---:|---:|"""
CHANGES_HEAD: Final = """\
| allowed before | after | who | of what is allowed, in seconds 1-5 after | 6-10 | 11-20 | 21-30 \
| 31-40 | refused in all |
|---:|---:|---|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class Limit:
    rate: int
    burst: int
    form: str = "seconds"


LIMITS: Final = (Limit(10, 1), Limit(30, 5), Limit(200, 20))
FORMS: Final = ("seconds", "date", "none")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the vendor let through and refused in each second."""

    passed: list[int]
    refused: list[int]

    def share(self, rate: int, first: int, last: int) -> str:
        part = self.passed[first:last]
        return f"{sum(part) / len(part) / rate:.2f}" if part else ""


@contextlib.contextmanager
def vendor(batches: int) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.rate_vendor", str(batches), str(LATENCY)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None and server.stdin is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


def ask(url: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data), timeout=30) as reply:
        return json.load(reply)


def set_limit(url: str, limit: Limit) -> float:
    """Returns the moment, in seconds of the vendor."""
    ask(url, "/_limit", {"rate": limit.rate, "burst": limit.burst, "form": limit.form})
    now: float = ask(url, "/_seconds")["now"]
    return now


def seen(url: str, since: float) -> Seen:
    rows = ask(url, "/_seconds")["seconds"][int(since) + 1 :]
    return Seen([row[0] for row in rows], [row[1] for row in rows])


# Who sends ------------------------------------------------------------------------------------


@contextlib.contextmanager
def batchops(url: str, workers: int, folder: str) -> Iterator[None]:
    environment = {
        "ENV_FILE": os.devnull,
        "DATA_DIR": folder,
        "DEBUG": "off",
        "SECRET_KEY": "bench",
        "LOG_LEVEL": "ERROR",
        "SYLLABLE_API_KEY": KEY,
        "SYLLABLE_BASE_URL": url,
    }
    with process("prepare", **environment) as preparing:
        if preparing.wait() != 0:
            raise SystemExit("The database could not be prepared.")
    command = [sys.executable, "manage.py", "worker"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | environment) for _ in range(workers)
    ]
    try:
        yield
    finally:
        for worker in running:
            worker.kill()
            worker.wait()


@contextlib.contextmanager
def naive(url: str, batches: int, in_flight: int = 16) -> Iterator[None]:
    """What `requests` and `urllib3` do by themselves when asked to retry."""
    import requests
    from urllib3 import Retry

    retry = Retry(None, status=50, status_forcelist=[429], allowed_methods=None, backoff_factor=0.1)
    waiting = iter(range(batches))
    stopped: list[bool] = []

    def update() -> None:
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        for number in waiting:
            if stopped:
                return
            address = f"{url}/api/v1/outbound/batches/{quote(f'20261124.{number}')}"
            with contextlib.suppress(requests.RequestException):
                session.put(address, json={"paused": True}, timeout=30)

    with ThreadPoolExecutor(in_flight) as pool:
        for _ in range(in_flight):
            pool.submit(update)
        try:
            yield
        finally:
            stopped.append(True)


# The measuring --------------------------------------------------------------------------------


def steady(limit: Limit, workers: int, seconds: int) -> Seen:
    """Under one limit, from the first request on. No workers: the naive client."""
    batches = limit.rate * (LEARNING_SECONDS + seconds + 30)
    with vendor(batches) as url, tempfile.TemporaryDirectory() as folder:
        sender = batchops(url, workers, folder) if workers else naive(url, batches)
        if not workers:
            began = set_limit(url, limit)
        with sender:
            if workers:
                began = set_limit(url, limit)
                wait_for_first(url, began)
                began = ask(url, "/_seconds")["now"]
            time.sleep(LEARNING_SECONDS + seconds + 1)
            return seen(url, began)


def wait_for_first(url: str, since: float) -> None:
    while not sum(sum(row) for row in ask(url, "/_seconds")["seconds"][int(since) + 1 :]):
        time.sleep(0.2)


def changed(before: Limit, after: Limit, workers: int) -> tuple[Seen, int]:
    """A limit that changes after 45 seconds; also when that was."""
    batches = (before.rate + after.rate) * 60
    with vendor(batches) as url, tempfile.TemporaryDirectory() as folder:
        sender = batchops(url, workers, folder) if workers else naive(url, batches)
        began = 0.0 if workers else set_limit(url, before)
        with sender:
            if workers:
                began = set_limit(url, before)
                wait_for_first(url, began)
            time.sleep(45)
            moment = set_limit(url, after)
            time.sleep(42)
            return seen(url, began), int(moment) - int(began)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=40, help="Measured after learning.")
    parser.add_argument("--limits", nargs="+", type=int, default=[0, 1, 2], help="By number.")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], help="0: the pool.")
    parser.add_argument("--changes", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    print(HEAD, flush=True)
    chosen = [LIMITS[number] for number in options.limits]
    for limit, form, workers in itertools.product(chosen, options.forms, options.workers):
        found = steady(Limit(limit.rate, limit.burst, form), workers, options.seconds)
        print(row(limit, form, workers, found, options.seconds), flush=True)
    if not options.changes:
        return
    print(f"\n{CHANGES_HEAD}", flush=True)
    pairs = [(Limit(30, 5), Limit(120, 20)), (Limit(120, 20), Limit(30, 5))]
    for (before, after), workers in itertools.product(pairs, options.workers):
        found, moment = changed(before, after, workers)
        spans = ((0, 5), (5, 10), (10, 20), (20, 30), (30, 40))
        shares = [found.share(after.rate, moment + a, moment + b) for a, b in spans]
        cells = [str(before.rate), str(after.rate), name(workers), *shares]
        print(f"| {' | '.join(cells)} | {sum(found.refused)} |", flush=True)


def name(workers: int) -> str:
    return f"batchops, {workers}" if workers else "requests pool"


def row(limit: Limit, form: str, workers: int, found: Seen, seconds: int) -> str:
    first, last = LEARNING_SECONDS, LEARNING_SECONDS + seconds
    passed, refused = sum(found.passed[first:last]), sum(found.refused[first:last])
    cells = (
        f"{limit.rate} | {limit.burst} | {form}",
        f"{'batchops' if workers else 'requests pool'} | {workers or ''}",
        f"{passed / seconds:.1f} | {passed / seconds / limit.rate:.2f}",
        f"{refused / max(1, passed + refused):.1%} | {sum(found.refused[:first])}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
