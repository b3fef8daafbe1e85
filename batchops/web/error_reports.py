"""Error reports that show local variables, but never the vendor's key."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

HIDDEN: Final = SafeExceptionReporterFilter.cleansed_substitute


class KeyHidingReporter(ExceptionReporter):
    """Django hides settings by their names; the key is also in the headers of each request."""

    def get_traceback_html(self) -> SafeString:
        return _without_key(super().get_traceback_html())

    def get_traceback_text(self) -> SafeString:
        return _without_key(super().get_traceback_text())


def _without_key(text: str) -> SafeString:
    key = settings.SYLLABLE_API_KEY
    for form in filter(None, {key, escape(key), repr(key)[1:-1], escape(repr(key)[1:-1])}):
        text = text.replace(form, HIDDEN)
    return SafeString(text)
