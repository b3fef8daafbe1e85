"""The vendor's outbound API, as far as batchops uses it.

What is never called: anything that returns contact data (`/results`), creates, or deletes.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
from urllib3.exceptions import HTTPError

from batchops.syllable.address import checked_base_url, checked_key, path_segment
from batchops.syllable.errors import (
    MalformedReply,
    RateLimited,
    Refused,
    ReplyLost,
    SyllableError,
    Unavailable,
)
from batchops.syllable.instants import format_instant
from batchops.syllable.limits import backoff
from batchops.syllable.patch import BatchPatch
from batchops.syllable.rate.headers import advice, parse_retry_after
from batchops.syllable.rate.limiter import Leave, RateLimiter, Use
from batchops.syllable.records import (
    BatchDetails,
    BatchRecord,
    CampaignRecord,
    Page,
    decode,
    parse_batch,
    parse_batch_page,
    parse_campaign_page,
    parse_details,
)
from batchops.syllable.refusals import error_for, vendor_words
from batchops.syllable.tally import LOST, UNREACHABLE, RequestTally
from batchops.syllable.transport import Session, Transport, describe_failure, never_sent

KEY_HEADER: Final = "Syllable-API-Key"
"""The header that carries the key (vendor OpenAPI, APIKeyHeader)."""
BATCHES_PATH: Final = "/api/v1/outbound/batches"
CAMPAIGNS_PATH: Final = "/api/v1/outbound/campaigns"

PAGE_BYTES: Final = 16 * 1024 * 1024
"""Largest page that is read, unpacked."""
BATCH_BYTES: Final = 1024 * 1024
"""Largest single batch that is read, unpacked."""
REFUSAL_BYTES: Final = 16 * 1024
"""How much of a refusal is read; the rest is left."""
CHUNK_BYTES: Final = 64 * 1024

RETRY_AFTER_CAP_SECONDS: Final = 30.0
"""Longest wait before a read is tried again, whatever the vendor asks for."""
SHORTEST_SECRET: Final = 4
"""A key shorter than this is not searched for in refusals: it would cut up ordinary words."""

_HEADERS: Final = {
    "User-Agent": "batchops",
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
}
_TROUBLE: Final = (requests.RequestException, HTTPError, OSError)

Record = TypeVar("Record")


class SyllableClient:
    """Talks to one origin with one key. Safe to share between threads.

    `connect_timeout` and `read_timeout` are seconds; the latter is for a whole reply. Reads are
    tried `read_attempts` times, writes once. Each request waits for leave of `limiter`, by what it
    is for (`use`) and up to `patience` seconds, unless its thread holds one already;
    `tally` counts it. Proxies, netrc and certificate bundles named in the environment count only
    with `use_environment_proxies`.

    Every method raises a `SyllableError`; the constructor raises `Misconfigured`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        pool_size: int = 16,
        read_attempts: int = 4,
        use_environment_proxies: bool = False,
        limiter: RateLimiter | None = None,
        tally: RequestTally | None = None,
        use: Use = Use.READ,
        patience: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._api_key = checked_key(api_key)
        self._timeout = (connect_timeout, read_timeout)
        self._read_attempts = read_attempts
        self.limiter = limiter or RateLimiter()
        self._tally = tally or RequestTally()
        self._use = use
        self._patience = patience
        self._sleep = sleep
        self._trust_env = use_environment_proxies
        self._transport = Transport(pool_size)
        self._threads = threading.local()
        self._settings = self._session.merge_environment_settings(
            self.base_url, {}, True, None, None
        )
        headers = {**_HEADERS, KEY_HEADER: self._api_key}
        self._blank = requests.Request("GET", self.base_url, headers=headers).prepare()

    def __repr__(self) -> str:
        return f"<SyllableClient {urlsplit(self.base_url).netloc}>"

    def close(self) -> None:
        """Close all idle connections. The client can still be used."""
        self._transport.close()

    def list_batches(
        self,
        *,
        page: int = 0,
        limit: int = 100,
        order_by: str | None = None,
        descending: bool = False,
        updated_since: dt.datetime | None = None,
        search: tuple[str, str] | None = None,
    ) -> Page[BatchRecord]:
        """One page of batches, counted from 0.

        `order_by` and the first of `search` name one of batch_id, campaign_id, status, expires_on,
        last_updated_at. `updated_since` is sent as start_datetime; the vendor does not say which
        instant of a batch it compares, so look at `last_updated_at` of what comes back, or order
        by it, descending, and stop at the first that is older.
        """
        query: dict[str, Any] = {"page": page, "limit": limit}
        if order_by is not None:
            query["order_by"] = order_by
            query["order_by_direction"] = "desc" if descending else "asc"
        if updated_since is not None:
            query["start_datetime"] = format_instant(updated_since)
        if search is not None:
            query["search_fields"], query["search_field_values"] = search
        return _expected_page(parse_batch_page(self._read_list(BATCHES_PATH, query)), page)

    def get_batch(self, batch_id: str) -> BatchDetails:
        """One batch with its request counts."""
        details = parse_details(self._read(_batch_path(batch_id), limit=BATCH_BYTES))
        _expect_batch(details.record, batch_id)
        return details

    def update_batch(self, batch_id: str, patch: BatchPatch) -> BatchRecord:
        """Change one batch, in one try, and return it as the vendor then shows it.

        An error whose `may_have_applied` is true leaves open whether the change was made.
        """
        if not patch:
            raise Refused("Nothing is to be changed.")
        body = json.dumps(patch.body()).encode()
        record = parse_batch(self._send("PUT", _batch_path(batch_id), BATCH_BYTES, body))
        _expect_batch(record, batch_id)
        return record

    def list_campaigns(self, *, page: int = 0, limit: int = 100) -> Page[CampaignRecord]:
        """One page of campaigns, counted from 0; empty when the vendor answers null."""
        reply = self._read_list(CAMPAIGNS_PATH, {"page": page, "limit": limit})
        campaigns = parse_campaign_page(reply)
        return campaigns if reply is None else _expected_page(campaigns, page)

    def _read_list(self, path: str, query: Mapping[str, Any]) -> object:
        return self._read(f"{path}?{urlencode(query)}", limit=PAGE_BYTES)

    def _read(self, path: str, *, limit: int) -> object:
        attempt = 1
        while True:
            try:
                return self._send("GET", path, limit)
            except (RateLimited, Unavailable, ReplyLost) as error:
                if attempt >= self._read_attempts:
                    raise
                delay = _delay(attempt, error)
            self._sleep(delay)
            attempt += 1

    def _send(self, method: str, path: str, limit: int, body: bytes | None = None) -> object:
        """One request, one reply, its JSON."""
        request = self._request(method, path, body)
        leave = self.limiter.take(self._use, self._patience)
        if leave is None:
            raise RateLimited(
                "The vendor's rate limit leaves no room for this now.", http_status=None
            )
        with self._response(request) as response:
            self._learn_rate(leave, response)
            if not 200 <= response.status_code < 300:
                raise self._refusal(response)
            return decode(_body(response, limit))

    def _learn_rate(self, leave: Leave, response: requests.Response) -> None:
        status, headers = response.status_code, response.headers
        now = dt.datetime.now(dt.UTC)
        if (told := advice(headers, now)) is not None:
            self.limiter.advised(told.rate, told.seconds)
        retry_after = headers.get("Retry-After")
        if status == 429 or (status == 503 and retry_after is not None):
            self.limiter.refused(leave, parse_retry_after(retry_after, now))
        elif status < 500:
            self.limiter.accepted(leave)

    def _request(self, method: str, path: str, body: bytes | None) -> requests.PreparedRequest:
        request = self._blank.copy()
        request.method = method
        # Set as it is: preparing it would turn %2E%2E into a step up in the path.
        request.url = self.base_url + path
        if body is not None:
            request.body = body
            request.headers["Content-Type"] = "application/json"
            request.headers["Content-Length"] = str(len(body))
        return request

    def _response(self, request: requests.PreparedRequest) -> requests.Response:
        began = time.perf_counter()
        status = LOST
        try:
            response = self._session.send(
                request, allow_redirects=False, timeout=self._timeout, **self._settings
            )
            status = str(response.status_code)
            return response
        except _TROUBLE as error:
            failure = self._failure(error)
            if isinstance(failure, Unavailable):
                status = UNREACHABLE
        finally:
            self._tally.count(_operation(request), status, time.perf_counter() - began)
        # Not raised above: what requests raises holds the request, and that the key.
        raise failure

    def _failure(self, error: Exception) -> SyllableError:
        host, why = urlsplit(self.base_url).netloc, describe_failure(error)
        if never_sent(error):
            return Unavailable(f"{host} cannot be reached: {why}")
        return ReplyLost(f"The reply of {host} did not arrive: {why}")

    def _refusal(self, response: requests.Response) -> SyllableError:
        try:
            body = _read_up_to(REFUSAL_BYTES, response)
        except _TROUBLE:
            body = b""
        words = vendor_words(self._without_key(body))
        now = dt.datetime.now(dt.UTC)
        return error_for(response.status_code, response.headers, words, url=self.base_url, now=now)

    def _without_key(self, body: bytes) -> bytes:
        if len(self._api_key) < SHORTEST_SECRET:
            return body
        return body.replace(self._api_key.encode(), b"***")

    @property
    def _session(self) -> Session:
        session: Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = self._new_session()
        return session

    def _new_session(self) -> Session:
        return Session(self._transport, trust_env=self._trust_env)


def _operation(request: requests.PreparedRequest) -> str:
    """What a request is for, as it is counted."""
    if request.method == "PUT":
        return "update_batch"
    path = urlsplit(request.url or "").path
    if path.endswith(CAMPAIGNS_PATH):
        return "list_campaigns"
    return "list_batches" if path.endswith(BATCHES_PATH) else "get_batch"


def _batch_path(batch_id: str) -> str:
    return f"{BATCHES_PATH}/{path_segment(batch_id)}"


def _body(response: requests.Response, limit: int) -> bytes:
    try:
        body = _read_up_to(limit, response)
    except _TROUBLE as error:
        failure: SyllableError = ReplyLost(
            f"The reply broke off: {describe_failure(error)}", http_status=response.status_code
        )
    else:
        if len(body) <= limit:
            return body
        failure = MalformedReply(
            f"The reply is larger than {limit // 1024} KiB.", http_status=response.status_code
        )
    raise failure


def _read_up_to(limit: int, response: requests.Response) -> bytes:
    """The body, unpacked; when it is longer than `limit`, a beginning that is longer as well."""
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _delay(attempt: int, error: SyllableError) -> float:
    asked = getattr(error, "retry_after", None) or 0.0
    return max(backoff(attempt), min(asked, RETRY_AFTER_CAP_SECONDS))


def _expect_batch(record: BatchRecord, batch_id: str) -> None:
    if record.batch_id != batch_id:
        raise MalformedReply(
            f"The vendor answered with another batch: {record.batch_id}", http_status=200
        )


def _expected_page(page: Page[Record], number: int) -> Page[Record]:
    if page.page != number:
        raise MalformedReply(
            f"The vendor answered page {number} with page {page.page}.", http_status=200
        )
    return page
