"""Pages that stay live: the parts between `{% live %}` tags, and nothing else of a page.

The script `live.js` asks for the page that is shown once more, with the header `X-Live`. The view
runs as ever; of what it draws only the parts are sent, or 304 when none of them has changed.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import Final

from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template.response import SimpleTemplateResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers

HEADER: Final = "X-Live"
_PARTS: Final = "live_parts"
_TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')
"""The token against forged requests is masked anew each time: no change to see."""


def is_asked(request: HttpRequest) -> bool:
    """Whether the script asks for the parts of a page, rather than a person for the page."""
    return request.method == "GET" and HEADER in request.headers


def begin(request: HttpRequest) -> None:
    """Collect the parts that are drawn for this request from now on."""
    setattr(request, _PARTS, {})


def keep(request: HttpRequest | None, name: str, html: str) -> None:
    """Take note of a part, where parts are asked for."""
    parts: dict[str, str] | None = getattr(request, _PARTS, None)
    if parts is not None:
        parts[name] = html


def parts_alone(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The parts of a page as JSON; what is no page, such as a redirect, stays as it is."""
    if not isinstance(response, SimpleTemplateResponse) or response.status_code != HTTPStatus.OK:
        return response
    response.render()
    # The frame was drawn as well, and with it the messages: they are for the next page.
    get_messages(request).used = False  # type: ignore[union-attr]
    parts: dict[str, str] = getattr(request, _PARTS)
    etag = f'"{_digest(parts)}"'
    answer: HttpResponse = JsonResponse({"parts": parts})
    if request.headers.get("If-None-Match") == etag:
        answer = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
    add_never_cache_headers(answer)
    patch_vary_headers(answer, [HEADER])
    answer["ETag"] = etag
    return answer


def _digest(parts: dict[str, str]) -> str:
    found = hashlib.sha256()
    for name, html in parts.items():
        found.update(f"{name}\0{_TOKEN.sub('', html)}\0".encode())
    return found.hexdigest()
