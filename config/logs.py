"""Where log lines go and how they look, the same for the web server, Django and the worker."""

from __future__ import annotations

from typing import Any

PLAIN = "{asctime} {levelname} {name} [{request_id}] {message}"


def logging_settings(line_format: str, level: str) -> dict[str, Any]:
    """Python's logging configuration for a format (`plain` or `json`) and a level of our own."""
    verbose = level == "DEBUG"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "batchops.logs.RequestIdFilter"}},
        "formatters": {
            "plain": {"format": PLAIN, "style": "{"},
            "json": {"()": "batchops.logs.JsonFormatter"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": line_format,
                "filters": ["request_id"],
            }
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
        "loggers": {
            "batchops": {"level": level},
            "django": {"level": "INFO" if verbose else "WARNING"},
            # Django gives its own logger handlers, and so do Huey and gunicorn where none is set.
            "django.server": {"handlers": [], "propagate": True},
            "huey": {
                "handlers": ["console"],
                "level": "INFO" if verbose else "WARNING",
                "propagate": False,
            },
            "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
            "gunicorn.access": {"handlers": [], "level": "INFO", "propagate": True},
        },
    }
