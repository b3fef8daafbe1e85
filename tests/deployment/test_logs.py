"""Log lines: plain or JSON, with the id of the request or task that they belong to."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from gunicorn.config import Config
from huey import MemoryHuey

from batchops.logs import JsonFormatter, RequestIdFilter, begin_task, request_id
from config.gunicorn import AccessLogger
from config.logs import PLAIN, logging_settings


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the access log writes, in the plain format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(PLAIN, style="{"))
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("gunicorn.access")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def access(status: str, **environ: str) -> None:
    """Log one request as gunicorn would."""
    config = Config()
    config.set("accesslog", "-")
    response = SimpleNamespace(status=status, sent=1234, headers=[("X-Request-ID", "the-request")])
    whole: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.1", "REQUEST_METHOD": "GET", **environ}
    AccessLogger(config).access(response, None, whole, dt.timedelta(milliseconds=12))


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("batchops.here", logging.INFO, __file__, 1, message, args, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_json_line_holds_what_a_plain_one_does() -> None:
    made = record("%s paused", "café\n", request_id="abcdefgh")
    line = json.loads(JsonFormatter().format(made))
    assert line["message"] == "café\n paused"
    assert line["level"] == "INFO"
    assert line["logger"] == "batchops.here"
    assert line["request_id"] == "abcdefgh"
    assert dt.datetime.fromisoformat(line["at"]).utcoffset() == dt.timedelta()


def test_a_json_line_is_one_line_even_with_a_traceback() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        made = record("failed", exc_info=(ValueError, error, error.__traceback__))
    text = JsonFormatter().format(made)
    assert "\n" not in text
    assert "ValueError: first\nsecond" in json.loads(text)["exception"]


def test_a_line_outside_of_any_request_says_so() -> None:
    made = record("starting")
    RequestIdFilter().filter(made)
    assert made.__dict__["request_id"] == "-"


def test_the_lines_of_a_task_carry_the_tasks_name_and_id() -> None:
    huey = MemoryHuey("tests", immediate=True)
    huey.pre_execute("request_id")(begin_task)
    seen: list[str] = []

    @huey.task(name="push")
    def task() -> None:
        seen.append(request_id.get())

    result = copy_context().run(task)
    assert seen == [f"push-{result.id[:8]}"]


def test_the_queue_of_the_settings_names_its_tasks() -> None:
    from config.servers.queue import queue

    with mock.patch("config.servers.queue.begin_task") as begun:
        huey = queue("memory://", mock.sentinel.folder)
    huey.immediate = True
    huey.task()(lambda: None)()
    begun.assert_called_once()


def test_an_access_line_has_the_path_without_its_query_and_the_requests_id(
    lines: io.StringIO,
) -> None:
    access("200 OK", PATH_INFO="/batchops/batch/", QUERY_STRING="q=secret")
    line = lines.getvalue()
    assert "[the-request] 192.0.2.1 GET '/batchops/batch/' 200 1234 bytes 12 ms" in line
    assert "secret" not in line


def test_a_path_cannot_forge_a_line(lines: io.StringIO) -> None:
    access("404 Not Found", PATH_INFO="/x\n2026-01-01 INFO forged")
    assert lines.getvalue().count("\n") == 1


def test_health_checks_that_went_well_are_not_logged(lines: io.StringIO) -> None:
    access("200 OK", PATH_INFO="/healthz")
    access("503 Service Unavailable", PATH_INFO="/readyz")
    assert "healthz" not in lines.getvalue()
    assert "readyz" in lines.getvalue()


@pytest.mark.parametrize("line_format", ["plain", "json"])
def test_web_server_worker_and_django_write_each_line_once(line_format: str) -> None:
    settings = logging_settings(line_format, "INFO")
    stream = io.StringIO()
    settings["handlers"]["console"]["stream"] = stream
    names = ("batchops.x", "django.request", "huey.consumer", "gunicorn.error", "gunicorn.access")
    before = {name: _state(name) for name in ("", "batchops", "django", "huey", *names)}
    try:
        logging.config.dictConfig(settings)
        for name in names:
            logging.getLogger(name).error("said by %s", name)
    finally:
        for name, (handlers, level, propagate) in before.items():
            logger = logging.getLogger(name)
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
    written = stream.getvalue().splitlines()
    assert len(written) == len(names)
    for name, line in zip(names, written, strict=True):
        assert f"said by {name}" in line


def _state(name: str) -> tuple[list[logging.Handler], int, bool]:
    logger = logging.getLogger(name)
    return list(logger.handlers), logger.level, logger.propagate
