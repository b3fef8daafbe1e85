"""What each fault looks like: refusals, distorted replies, and connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http
import socket
import struct
import time
from typing import Any, Final

from aiohttp import web

from batchops.sandbox.fault_chooser import FaultChooser
from batchops.sandbox.faults import FaultKind, RetryAfter
from batchops.sandbox.records import Wire
from batchops.sandbox.rules import Invalid
from batchops.sandbox.vendor import Answer, Reply, invalid, json_answer, problem

BROKEN_BEFORE: Final = frozenset({FaultKind.RESET_BEFORE, FaultKind.STALL_BEFORE})
BROKEN_AFTER: Final = frozenset({FaultKind.RESET_AFTER, FaultKind.STALL_AFTER})
STALLS: Final = frozenset({FaultKind.STALL_BEFORE, FaultKind.STALL_AFTER})
REQUIRED_FIELDS: Final = ("batch_id", "campaign_id", "last_updated_by")
"""Of a `CommunicationBatch` in the vendor's OpenAPI."""
_PIECE: Final = b" " * 65_536
_HTML_ERRORS: Final = {
    FaultKind.NOT_FOUND: (404, "Not Found"),
    FaultKind.ERROR_500: (500, "Internal Server Error"),
    FaultKind.ERROR_502: (502, "Bad Gateway"),
    FaultKind.ERROR_AFTER: (502, "Bad Gateway"),
    FaultKind.ERROR_503: (503, "Service Unavailable"),
}


def html(status: int, title: str, headers: dict[str, str] | None = None) -> Answer:
    """An answer as proxies give it."""
    page = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status, page.encode(), "text/html", headers or {})


def too_many_requests(chooser: FaultChooser) -> Answer:
    """429, saying when to come back in the form that the faults ask for."""
    headers = chooser.retry_after_headers(chooser.faults.retry_after)
    return dataclasses.replace(problem(429, "Too many requests"), headers=headers)


def refusal(fault: FaultKind | None, chooser: FaultChooser, path: str) -> Answer | None:
    """The answer of a fault that keeps a request from doing anything; None for other faults."""
    match fault:
        case FaultKind.RATE_LIMITED:
            return too_many_requests(chooser)
        case FaultKind.UNAUTHORIZED:
            return problem(401, "API key has been revoked")
        case FaultKind.FORBIDDEN:
            return problem(403, "This API key may not do that")
        case FaultKind.REFUSED:
            message = "Batch cannot be updated right now"
            return invalid(Invalid([{"loc": ["body"], "msg": message, "type": "value_error"}]))
        case FaultKind.REDIRECT:
            return html(307, "Moved", {"Location": chooser.faults.redirect_to + path})
        case FaultKind.ERROR_503:
            form: RetryAfter = chooser.faults.unavailable_retry_after
            return html(*_HTML_ERRORS[fault], chooser.retry_after_headers(form))
        case FaultKind.ERROR_STATUS:
            return html(chooser.faults.status, _title(chooser.faults.status))
        case FaultKind.NOT_FOUND | FaultKind.ERROR_500 | FaultKind.ERROR_502:
            return html(*_HTML_ERRORS[fault])
        case _:
            return None


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def encode(reply: Reply, fault: FaultKind | None) -> Answer:
    """The reply as an answer, distorted where the fault says so."""
    answer = json_answer(200, _distorted(reply.payload, fault), applied=reply.applied)
    match fault:
        case FaultKind.ERROR_AFTER:
            return dataclasses.replace(html(*_HTML_ERRORS[fault]), applied=reply.applied)
        case FaultKind.NOT_JSON:
            return dataclasses.replace(html(200, "Maintenance"), applied=reply.applied)
        case FaultKind.EMPTY:
            return dataclasses.replace(answer, body=b"")
        case _:
            return answer


def _distorted(payload: Any, fault: FaultKind | None) -> Any:
    match fault:
        case FaultKind.NULL_CAMPAIGNS:
            return None
        case FaultKind.NOT_A_PAGE:
            return {"items": {"batch_id": "1"}, "page": "first", "page_size": None}
        case FaultKind.WRONG_BATCH_ID:
            return payload | {"batch_id": payload["batch_id"] + "-other"}
        case FaultKind.UNKNOWN_STATUS | FaultKind.EXTRA_FIELDS | FaultKind.MISSING_FIELDS:
            return _each_batch(payload, fault)
        case _:
            return payload


def _each_batch(payload: Wire, fault: FaultKind) -> Wire:
    if "items" in payload:
        return payload | {"items": [_odd_batch(item, fault) for item in payload["items"]]}
    return _odd_batch(payload, fault)


def _odd_batch(batch: Wire, fault: FaultKind) -> Wire:
    if fault is FaultKind.UNKNOWN_STATUS:
        return batch | {"status": "ARCHIVED"}
    if fault is FaultKind.EXTRA_FIELDS:
        return batch | {"priority": 3, "outreach_window": {"zone": "America/New_York"}}
    return {name: batch[name] for name in REQUIRED_FIELDS}


async def deliver(
    request: web.BaseRequest, answer: Answer, fault: FaultKind | None, oversized_bytes: int
) -> web.StreamResponse:
    """Send the answer, or less or more of it than is right."""
    if fault is FaultKind.TRUNCATED:
        return await _send_half(request, answer)
    if fault is FaultKind.OVERSIZED:
        return await _send_too_much(request, answer, oversized_bytes)
    return web.Response(
        body=answer.body,
        status=answer.status,
        headers=answer.headers,
        content_type=answer.content_type,
    )


async def _send_half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _send_too_much(
    request: web.BaseRequest, answer: Answer, oversized_bytes: int
) -> web.StreamResponse:
    """Valid JSON followed by white space, in chunks, so that no header tells the size."""
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type
    await response.prepare(request)
    await response.write(answer.body)
    with contextlib.suppress(ConnectionError):
        for _ in range(-(-oversized_bytes // len(_PIECE))):
            await response.write(_PIECE)
    return response


async def break_connection(
    request: web.BaseRequest, fault: FaultKind, chooser: FaultChooser
) -> web.StreamResponse:
    """Reset the connection, after a silence where the fault is a stall.

    The silence ends early when stalls are no longer among the faults.
    """
    if fault in STALLS:
        until = time.monotonic() + chooser.faults.stall_seconds
        while (left := until - time.monotonic()) > 0 and fault in chooser.faults.shares:
            await asyncio.sleep(min(left, 0.05))
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # Lingering for no time makes the kernel send RST instead of a polite FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)
