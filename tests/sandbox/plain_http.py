"""The vendor's API over plain HTTP, without any client's opinions in between."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import requests

from batchops.sandbox import EmbeddedSandbox

BASE_PATH = "/api/v1/outbound"
TIMEOUT_SECONDS = 5.0


class PlainHttp:
    """Sends single requests with the key; follows no redirect and repeats nothing."""

    def __init__(self, sandbox: EmbeddedSandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Syllable-API-Key"] = sandbox.key

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(
            method,
            self.sandbox.url + path,
            timeout=options.pop("timeout", TIMEOUT_SECONDS),
            allow_redirects=False,
            **options,
        )

    def batches(self, **parameters: Any) -> requests.Response:
        return self.send("GET", f"{BASE_PATH}/batches", params=parameters)

    def campaigns(self, **parameters: Any) -> requests.Response:
        return self.send("GET", f"{BASE_PATH}/campaigns", params=parameters)

    def batch(self, batch_id: str) -> requests.Response:
        return self.send("GET", f"{BASE_PATH}/batches/{quote(batch_id, safe='')}")

    def update(self, batch_id: str, body: Any, **options: Any) -> requests.Response:
        path = f"{BASE_PATH}/batches/{quote(batch_id, safe='')}"
        return self.send("PUT", path, json=body, **options)

    def control(self, method: str, name: str, **options: Any) -> requests.Response:
        return self.send(method, f"/_sandbox/{name}", **options)
