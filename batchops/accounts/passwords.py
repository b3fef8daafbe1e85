"""Which passwords are too easy to guess. There are no rules on what they are made of."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from zxcvbn import zxcvbn

LOOKED_AT: Final = 72
"""Characters of a password that are looked at; more make it no easier to guess."""
ENOUGH: Final = 3
"""Of zxcvbn's scores from 0 to 4: about ten thousand million guesses."""
OUR_WORDS: Final = ("batchops", "syllable", "batch", "campaign")


class GuessableValidator:
    """Refuses common and breached passwords, and what is easily made from them, or from the name.

    Its lists of passwords, names and words are a part of the library, so nothing is asked outside.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        about = (user.username, user.email, user.first_name, user.last_name) if user else ()
        words = [part for text in (*OUR_WORDS, *about) for part in (text, *text.split("@")) if part]
        found = zxcvbn(password[:LOOKED_AT], user_inputs=words, max_length=LOOKED_AT)
        if found["score"] < ENOUGH:
            advice = found["feedback"]
            said = " ".join([advice["warning"], *advice["suggestions"]]).strip()
            raise ValidationError(f"This password is too easy to guess. {said}", code="guessable")

    def get_help_text(self) -> str:
        return (
            "Several words that have nothing to do with you or with batchops are good. "
            "Common passwords, and what is easily made from them, are refused."
        )
