"""Addresses of the site: batch ids as parts of them, and where a draft leads."""

from __future__ import annotations

import re
from typing import Final

from django.contrib.admin.utils import quote, unquote
from django.http import HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from batchops.models import Change

_KEY: Final = "key:"
_DOT: Final = "_2E"
_RETURN: Final = "_0D"
_DOTS: Final = re.compile(rf"(?:{_DOT})+\Z")


def batch_key(batch_id: str) -> str:
    """A batch id as the admin writes it in addresses; `batch_id_of` reads it back."""
    # To browsers, "." and ".." are steps in a path, not names.
    if not batch_id.strip("."):
        return batch_id.replace(".", _DOT)
    return str(quote(batch_id)).replace("\r", _RETURN)


def batch_id_of(key: str) -> str:
    """The batch id that an address names."""
    if _DOTS.match(key):
        return key.replace(_DOT, ".")
    return unquote(key.replace(_RETURN, "\r"))


def form_value(batch_id: str) -> str:
    """A batch id as a form sends it; `batch_id_in_form` reads it back.

    Browsers send every line break in a form as CR LF, whatever it was.
    """
    is_safe = not batch_id.startswith(_KEY) and not {"\r", "\n"} & set(batch_id)
    return batch_id if is_safe else _KEY + batch_key(batch_id)


def batch_id_in_form(value: str) -> str:
    """The batch id that a form sent."""
    return batch_id_of(value.removeprefix(_KEY)) if value.startswith(_KEY) else value


def to_preview(draft: Change, zone: str = "") -> HttpResponseRedirect:
    """On to the page on which a draft is reviewed and confirmed, in the zone it was asked in."""
    address = reverse("admin:batchops_change_preview", args=[draft.pk])
    return redirect(f"{address}?{urlencode({'zone': zone})}" if zone else address)
