"""Log lines that carry the request or task they belong to; plain or JSON."""

from __future__ import annotations

import contextvars
import datetime as dt
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huey.api import Task

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
"""The id of the request (or task) under way."""


def begin_task(task: Task) -> None:
    """Let the lines that follow in this thread carry a task's id, until the next task begins."""
    request_id.set(f"{task.name}-{task.id[:8]}")


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to every record that does not bring its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False)
