"""The real web server on the database of the test, and a browser that knows only HTTP."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.services.push.world import wait_for

SECONDS = 60


class WebServer:
    """gunicorn with our configuration and two processes, ended at the latest with the block."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py"),
                    *("--bind", "127.0.0.1:0"),
                ],
                cwd=settings.BASE_DIR,
                env=environment | {"WEB_CONCURRENCY": "2", "HTTPS_ONLY": "off", "DEBUG": "on"},
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> WebServer:
        wait_for(lambda: "Listening at" in self.log.read_text(), SECONDS)
        found = re.search(r"Listening at: (http://[\d.:]+)", self.log.read_text())
        assert found
        self.address = found[1]
        wait_for(lambda: self.answers("/healthz"), SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)

    def answers(self, path: str) -> bool:
        try:
            return requests.get(f"{self.address}{path}", timeout=SECONDS).ok
        except requests.ConnectionError:
            return False

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def signed_in(self, user: User) -> Callable[..., requests.Response]:
        """A function that posts to a path as this person, with the token that pages carry."""
        client = Client()
        client.force_login(user)
        browser = requests.Session()
        browser.cookies["sessionid"] = client.cookies["sessionid"].value
        page = browser.get(f"{self.address}/password_change/", timeout=SECONDS).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token

        def post(path: str, **fields: str) -> requests.Response:
            answer = browser.post(
                f"{self.address}{path}",
                {"csrfmiddlewaretoken": token[1], **fields},
                timeout=SECONDS,
            )
            answer.raise_for_status()
            return answer

        return post


def in_background(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread
