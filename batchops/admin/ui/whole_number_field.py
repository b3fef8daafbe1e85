"""A whole number of a form."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms

_DIGITS: Final = re.compile(r"\s*-?[0-9]+\s*", re.ASCII)


class WholeNumberField(forms.IntegerField):
    """Digits from 0 to 9 alone; Django would take "1_0" for ten, and "30.0" for thirty."""

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not _DIGITS.fullmatch(str(value)):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)
