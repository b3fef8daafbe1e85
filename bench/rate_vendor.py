"""A vendor with a rate limit, written apart from the sandbox so that both cannot err alike.

It knows as much of HTTP and of the vendor's API as batchops needs. `POST /_limit` with
{"rate", "burst", "form"} sets a token bucket over all requests (rate 0: none); `form` is how a
refusal says when to come back: seconds, date or none. `GET /_seconds` tells how many requests were
let through and refused in each second so far.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

UPDATED_AT = "2026-11-24T12:00:00Z"


class Vendor:
    """Batches that can be paused, behind a bucket of tokens."""

    def __init__(self, batches: int, latency: float) -> None:
        self.paused = {f"20261124.{number}": False for number in range(batches)}
        self.latency = latency
        self.rate = self.burst = self.tokens = 0.0
        self.form = "none"
        self.filled_at = self.began = time.monotonic()
        self.passed: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it ends."""
        try:
            while request_line := await reader.readline():
                method, target, _version = request_line.decode().split()
                length = 0
                while (line := (await reader.readline()).strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = await reader.readexactly(length)
                status, headers, answer = await self.answer(method, target, body)
                payload = json.dumps(answer).encode()
                head = [f"HTTP/1.1 {status} X", "Content-Type: application/json"]
                head += [f"Content-Length: {len(payload)}", *headers, "", ""]
                writer.write("\r\n".join(head).encode() + payload)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The other side has gone, or this one ends.
            pass
        finally:
            writer.close()

    async def answer(self, method: str, target: str, body: bytes) -> tuple[int, list[str], Any]:
        parts = urlsplit(target)
        if parts.path == "/_limit":
            given = json.loads(body)
            self.rate, self.burst, self.form = given["rate"], given["burst"], given["form"]
            self.tokens, self.filled_at = self.burst, time.monotonic()
            return 200, [], {}
        second = int(time.monotonic() - self.began)
        if parts.path == "/_seconds":
            rows = [[self.passed[one], self.refused[one]] for one in range(second)]
            return 200, [], {"now": time.monotonic() - self.began, "seconds": rows}
        if (wait := self.missing()) > 0:
            self.refused[second] += 1
            return 429, self.retry_after(wait), {"detail": "Too many requests"}
        self.passed[second] += 1
        await asyncio.sleep(self.latency)
        return 200, [], self.vendor_answer(method, parts.path, parse_qs(parts.query), body)

    def missing(self) -> float:
        """Take a token; the seconds until there is one where there is none."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        gained = (now - self.filled_at) * self.rate
        self.tokens, self.filled_at = min(self.burst, self.tokens + gained), now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0

    def retry_after(self, wait: float) -> list[str]:
        if self.form == "seconds":
            return [f"Retry-After: {math.ceil(wait)}"]
        if self.form == "date":
            moment = math.ceil(time.time() + wait)
            return [f"Retry-After: {email.utils.formatdate(moment, usegmt=True)}"]
        return []

    def vendor_answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> dict[str, Any]:
        kind, _, segment = path.removeprefix("/api/v1/outbound/").partition("/")
        batch_id = unquote(segment)
        if method == "PUT":
            self.paused[batch_id] = json.loads(body)["paused"]
        if batch_id:
            return self.batch(batch_id)
        page, limit = int(query["page"][0]), int(query["limit"][0])
        names = sorted(self.paused) if kind == "batches" else []
        items: list[Any] = [self.batch(one) for one in names[page * limit : (page + 1) * limit]]
        if kind == "campaigns" and page == 0:
            names, items = ["1"], [{"id": 1, "campaign_name": "One"}]
        pages = -(-len(names) // limit)
        told = {"page": page, "page_size": limit, "total_pages": pages, "total_count": len(names)}
        return told | {"items": items}

    def batch(self, batch_id: str) -> dict[str, Any]:
        paused = self.paused[batch_id]
        return {
            "batch_id": batch_id,
            "campaign_id": 1,
            "status": "PAUSED" if paused else "ACTIVE",
            "paused": paused,
            "last_updated_at": UPDATED_AT,
            "last_updated_by": "key@example.com",
        }


async def main(batches: int, latency: float) -> None:
    """Serve on a free port of this machine until standard input ends; prints the address."""
    vendor = Vendor(batches, latency)
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
