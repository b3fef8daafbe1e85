"""Addresses of the site: batch ids as parts of them, and where a draft leads."""

from __future__ import annotations

import re
from typing import Final

from django.contrib.admin.utils import quote, unquote
from django.http import HttpResponseRedirect
from django.shortcuts import redirect

from batchops.models import Change

_DOT: Final = "_2E"
_DOTS: Final = re.compile(rf"(?:{_DOT})+\Z")


def batch_key(batch_id: str) -> str:
    """A batch id as the admin writes it in addresses; `batch_id_of` reads it back."""
    # To browsers, "." and ".." are steps in a path, not names.
    return str(quote(batch_id)) if batch_id.strip(".") else batch_id.replace(".", _DOT)


def batch_id_of(key: str) -> str:
    """The batch id that an address names."""
    return key.replace(_DOT, ".") if _DOTS.match(key) else unquote(key)


def to_review(draft: Change) -> HttpResponseRedirect:
    """On to the page on which a draft is reviewed and confirmed."""
    return redirect("admin:batchops_change_review", draft.pk)
