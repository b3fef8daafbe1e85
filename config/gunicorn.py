"""gunicorn's own settings, read from the environment; `.env.example` documents each."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from batchops.proxies import MACHINE_PATHS
from config.environment.reader import Environment
from config.logs import logging_settings
from config.refusals import LONGEST_LINE

env = Environment(Path(__file__).resolve().parent.parent)

HOST = env.host("WEB_HOST", "127.0.0.1")
PORT = env.whole("WEB_PORT", 8000, 1, 65535)


class AccessLogger(Logger):  # type: ignore[misc]
    """One line a request, without its query string, under the request's own id.

    What monitoring asks is left out where it went well: they come every few seconds.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: dt.timedelta) -> None:
        status = str(resp.status).split()[0]
        path = environ.get("PATH_INFO", "")
        if path in MACHINE_PATHS and status == "200":
            return
        headers = {name.lower(): value for name, value in resp.headers}
        self.access_log.info(
            "%s %s %a %s %s bytes %d ms",
            environ.get("REMOTE_ADDR", "-"),
            environ.get("REQUEST_METHOD", "-"),
            path,
            status,
            resp.sent,
            request_time / dt.timedelta(milliseconds=1),
            extra={"request_id": headers.get("x-request-id", "-")},
        )


wsgi_app = "config.wsgi:application"
bind = f"[{HOST}]:{PORT}" if ":" in HOST else f"{HOST}:{PORT}"
worker_class = "config.refusals.Worker"
limit_request_line = LONGEST_LINE
workers = env.whole("WEB_CONCURRENCY", 2, 1, 128)
threads = env.whole("WEB_THREADS", 8, 1, 128)
timeout = 60
graceful_timeout = 30
keepalive = 15
max_requests = 0
control_socket_disable = True
umask = 0o077
# Whom to believe about addresses and TLS is decided in one place, `TRUSTED_PROXIES`; gunicorn
# itself would believe any program on this machine, and take SCRIPT_NAME from it.
forwarded_allow_ips = ""
forwarder_headers = ""
os.environ.pop("SCRIPT_NAME", None)
# A slow client cannot hold the heartbeat file of a worker on a slow disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
accesslog = "-"
errorlog = "-"
logger_class = AccessLogger
logconfig_dict = logging_settings(
    env.choice("LOG_FORMAT", "plain", ("plain", "json")),
    env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
)


def worker_exit(_server: Any, _worker: Any) -> None:
    """What the process does besides serving ends with it, and hands back what it holds."""
    from batchops.web import standby

    standby.end()
