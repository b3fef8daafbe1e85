"""manage.py start: everything of batchops on this machine, in one go."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from batchops.models import SyncRun
from batchops.processes import ProcessGroup, ProgramEnded, accepts_connections, is_free
from batchops.services import demo
from config import gunicorn

START_SECONDS: Final = 60
FIRST_SYNC_SECONDS: Final = 20
SANDBOX_HOST: Final = "127.0.0.1"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
PROGRAM: Final = re.compile(r"^(\w+): (.+)$", re.MULTILINE)
"""A line of the Procfile."""
RULE: Final = "─" * 72


class Command(BaseCommand):
    """Prepare the database and the static files, then run all programs until interrupted."""

    help = (
        "Start the web server, the worker and, when SYLLABLE_API_KEY is not set, the sandbox. "
        "Ctrl-C ends them all."
    )
    requires_migrations_checks = False

    def handle(self, **_: Any) -> None:
        self._refuse_busy_ports()
        self.stdout.write("Preparing the database and the static files …")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        people = demo.make_people(settings.DATA_DIR) if settings.DEMO else []
        try:
            with ProcessGroup(_environment(), self.stderr.write) as programs:
                self._start(programs)
                self._welcome(people)
                programs.wait()
        except KeyboardInterrupt:
            self.stdout.write("batchops has ended.")
        except ProgramEnded as error:
            raise CommandError(f"{error} The others were ended too.") from error

    def _refuse_busy_ports(self) -> None:
        _refuse_busy(gunicorn.HOST, gunicorn.PORT, "WEB_PORT")
        if settings.DEMO:
            _refuse_busy(SANDBOX_HOST, settings.SANDBOX_PORT, "SANDBOX_PORT")

    def _start(self, programs: ProcessGroup) -> None:
        if settings.DEMO:
            programs.start("sandbox", _sandbox_command())
            _wait(
                programs,
                "sandbox",
                lambda: accepts_connections(SANDBOX_HOST, settings.SANDBOX_PORT),
            )
        commands = dict(PROGRAM.findall((settings.BASE_DIR / "Procfile").read_text()))
        programs.start("worker", shlex.split(commands["worker"]), restarts=True)
        programs.start("web server", shlex.split(commands["web"]))
        _wait(programs, "web server", _web_answers)
        syncs = SyncRun.objects.exclude(state=SyncRun.State.RUNNING)
        programs.wait_until(syncs.exists, FIRST_SYNC_SECONDS)

    def _welcome(self, people: Sequence[demo.DemoPerson]) -> None:
        lines = [f"batchops is running at {_address()}", ""]
        lines += _about_vendor()
        lines += _about_signing_in(people)
        lines.append("Ctrl-C ends it.")
        body = "\n".join(f"  {line}".rstrip() for line in lines)
        self.stdout.write(f"\n{RULE}\n{body}\n{RULE}\n")
        self.stdout.flush()


def _environment() -> dict[str, str]:
    """The programs' environment: our own Python first, and plain HTTP on this machine alone."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    )
    if _speaks_plain_http():
        environment["HTTPS_ONLY"] = "off"
    return environment


def _speaks_plain_http() -> bool:
    """Whether nobody said otherwise, and only this machine can reach the site."""
    return not os.environ.get("HTTPS_ONLY") and gunicorn.HOST in LOOPBACK


def _sandbox_command() -> list[str]:
    return [
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "sandbox",
        f"--port={settings.SANDBOX_PORT}",
        f"--state={settings.DATA_DIR / 'sandbox.sqlite3'}",
        "--quiet",
    ]


def _refuse_busy(host: str, port: int, variable: str) -> None:
    try:
        if is_free(host, port):
            return
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another {variable}."
        ) from error
    raise CommandError(
        f"Port {port} on {host} is in use, perhaps by another batchops. "
        f"Choose another: {variable}={port + 1} make run"
    )


def _wait(programs: ProcessGroup, name: str, condition: Callable[[], bool]) -> None:
    if not programs.wait_until(condition, START_SECONDS):
        raise CommandError(f"The {name} did not answer within {START_SECONDS} seconds.")


def _sandbox_answers() -> bool:
    return accepts_connections(SANDBOX_HOST, settings.SANDBOX_PORT)


def _web_answers() -> bool:
    """Whether a web worker answers; what it says about this host's name does not matter."""
    host = "localhost" if gunicorn.HOST in EVERYWHERE else gunicorn.HOST
    connection = http.client.HTTPConnection(host, gunicorn.PORT, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _address() -> str:
    host = "localhost" if gunicorn.HOST in (*LOOPBACK, *EVERYWHERE) else gunicorn.HOST
    return f"http://{host}:{gunicorn.PORT}/"


def _about_vendor() -> list[str]:
    if settings.DEMO:
        return ["On the sandbox: SYLLABLE_API_KEY is not set, so nobody is called.", ""]
    lines = [f"Against {settings.SYLLABLE_BASE_URL}: changes reach people."]
    if _speaks_plain_http():
        lines.append("HTTPS_ONLY is off, since it listens on this machine alone;")
        lines.append("set HTTPS_ONLY=on behind a proxy that speaks TLS.")
    return [*lines, ""]


def _about_signing_in(people: Sequence[demo.DemoPerson]) -> list[str]:
    passwords = settings.DATA_DIR / demo.PASSWORD_FILE
    if people:
        return ["Sign in as", *(f"  {person}" for person in people), f"(kept in {passwords})", ""]
    if settings.DEMO and passwords.exists():
        return [f"Names and passwords to sign in with: {passwords}", ""]
    if not User.objects.exists():
        return [
            "Nobody can sign in yet. In another terminal:",
            "  .venv/bin/python manage.py createsuperuser",
            "",
        ]
    return []
