"""manage.py sandbox: run a sandbox of the vendor's API on this machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from batchops.sandbox.fault_values import InvalidFaults
from batchops.sandbox.faults import Faults
from batchops.sandbox.generator import DEFAULT_BATCHES, DEFAULT_CAMPAIGNS, make_world
from batchops.sandbox.server import Sandbox, loopback_address, run
from batchops.sandbox.storage import StateFile, StateFileError, restore_or_make
from batchops.sandbox.vendor import DEFAULT_MAX_LIMIT
from batchops.sandbox.world import World

BATCHES_MAXIMUM = 1_000_000
CAMPAIGNS_MAXIMUM = 10_000
PORT_MAXIMUM = 65_535
SECONDS_MAXIMUM = 3_600.0


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """An argument type: a whole number within bounds, both included."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number.") from error
        if not minimum <= number <= maximum:
            raise argparse.ArgumentTypeError(f"{number} is not between {minimum} and {maximum}.")
        return number

    return read


def number_of(unit: str, maximum: float) -> Callable[[str], float]:
    """An argument type: a number from 0 to a maximum, of a unit named in the error."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit}.") from error
        if not 0 <= number <= maximum:
            message = f"{text} is not between 0 and {maximum:g} {unit}."
            raise argparse.ArgumentTypeError(message)
        return number

    return read


def loopback_host(text: str) -> str:
    """An argument type: an address of this machine alone."""
    try:
        return loopback_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def header_text(text: str) -> str:
    """An argument type: something that can be sent as the value of a header."""
    if not text or not text.isascii() or not text.isprintable() or text.strip() != text:
        raise argparse.ArgumentTypeError("A key is printable ASCII without spaces at its ends.")
    return text


def fault_values(text: str) -> dict[str, Any]:
    """An argument type: faults as a JSON object."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"This is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError('Give a JSON object such as {"error_503": 0.1}.')
    return values


class Command(BaseCommand):
    """Serve until interrupted; the state is saved as it changes."""

    help = "Run a sandbox of the vendor's API on this machine, for demos, tests and benchmarks."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--host", type=loopback_host, default="127.0.0.1", help="A loopback address.")
        add("--port", type=whole_number(0, PORT_MAXIMUM), default=8900, help="0 picks a free one.")
        add("--state", type=Path, metavar="FILE", help="Keep the world in FILE across restarts.")
        add(
            "--batches",
            type=whole_number(0, BATCHES_MAXIMUM),
            default=DEFAULT_BATCHES,
            help="Size of a new world; a world restored from a state file keeps its own.",
        )
        add("--campaigns", type=whole_number(0, CAMPAIGNS_MAXIMUM), default=DEFAULT_CAMPAIGNS)
        add("--seed", type=whole_number(0, 2**63), default=1, help="Same seed, same world.")
        add("--latency", type=number_of("seconds", SECONDS_MAXIMUM), metavar="SECONDS")
        add("--jitter", type=number_of("seconds", SECONDS_MAXIMUM), metavar="SECONDS")
        add("--rate-limit", type=number_of("requests per second", 1e6), metavar="PER_SECOND")
        add(
            "--max-limit",
            type=whole_number(1, BATCHES_MAXIMUM),
            default=DEFAULT_MAX_LIMIT,
            help="Largest page; a larger limit is answered with 422.",
        )
        add("--key", type=header_text, default="sandbox-key", help="The API key to accept.")
        add("--faults", type=fault_values, default={}, metavar="JSON", help="Faults to begin with.")
        add("--quiet", action="store_true", help="Print only the address it listens on.")

    def handle(self, **options: Any) -> None:
        faults = self._faults(options)
        state_file = None
        try:
            state_file = StateFile(options["state"]) if options["state"] else None
            world = self._world(state_file, options)
            sandbox = Sandbox(
                world,
                key=options["key"],
                max_limit=options["max_limit"],
                faults=faults,
                seed=options["seed"],
                state_file=state_file,
            )
            run(sandbox, options["host"], options["port"], self._announce)
        except StateFileError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            place = f"{options['host']}:{options['port']}"
            raise CommandError(f"Cannot listen on {place}: {error.strerror}.") from error
        finally:
            if state_file is not None:
                state_file.close()

    def _faults(self, options: dict[str, Any]) -> Faults:
        given = {name: options[name] for name in ("latency", "jitter", "rate_limit")}
        flags = {name: value for name, value in given.items() if value is not None}
        try:
            return Faults.of(**options["faults"]).updated(flags)
        except InvalidFaults as error:
            raise CommandError(f"--faults: {error}") from error

    def _world(self, state_file: StateFile | None, options: dict[str, Any]) -> World:
        def make() -> World:
            return make_world(options["batches"], options["campaigns"], options["seed"])

        if state_file is None:
            world, restored = make(), False
        else:
            world, restored = restore_or_make(state_file, make)
        if not options["quiet"]:
            source = (
                f"World restored from {state_file.path}" if state_file and restored else "New world"
            )
            count = f"{len(world.batches)} batches in {len(world.campaigns)} campaigns"
            self.stdout.write(f"{source}: {count}.")
        return world

    def _announce(self, address: str) -> None:
        self.stdout.write(f"Sandbox of the vendor's API listening on {address}")
        self.stdout.flush()
