"""Passwords are long and hard to guess, whatever they are made of."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

pytestmark = pytest.mark.once

OLIVIA = User(username="olivia.birnbaum", email="ob@example.com", first_name="Olivia")


@pytest.mark.parametrize(
    "password",
    [
        "purple moth under ladder",
        "kxqzvwjhtrnb",
        "402957718366",
        "Sommerregen über Wuppertal",
        "\N{SNOWMAN}\N{CLOUD} wörter zählen nicht",
        "correct horse " * 40,
    ],
)
def test_long_ones_are_taken_whatever_they_are_made_of(password: str) -> None:
    validate_password(password, OLIVIA)


@pytest.mark.parametrize(
    "password",
    [
        "kxqzvwjhtrn",
        "password1234",
        "Passw0rd!!!!",
        "qwertyuiop12",
        "123456789012",
        "aaaaaaaaaaaaaaaa",
        "olivia.birnbaum1",
        "batchopsbatchops",
        "password" * 500,
    ],
)
def test_short_and_guessable_ones_are_not(password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, OLIVIA)
