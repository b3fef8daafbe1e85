"""The people of a demo: one for each role, with random passwords."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.contrib.auth.models import Group, User
from django.db import transaction

from batchops.files import for_owner_alone

PASSWORD_FILE: Final = "demo-passwords.txt"  # noqa: S105 - a file's name
GROUPS: Final = {"operator": "Operator", "approver": "Approver", "auditor": "Auditor", "admin": ""}
"""Sign-in name to group; the administrator needs none."""
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that look alike."""


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """How to sign in as one of the demo's people."""

    username: str
    password: str

    def __str__(self) -> str:
        return f"{self.username:<10} {self.password}"


def make_people(folder: Path) -> list[DemoPerson]:
    """Make the demo's people when there is no user yet, and keep their passwords in `folder`.

    The file is readable by its owner alone. Returns no one when there are users already.
    """
    if User.objects.exists():
        return []
    people = [DemoPerson(name, _password()) for name in GROUPS]
    with transaction.atomic():
        for person in people:
            _make_user(person)
        _keep(folder / PASSWORD_FILE, people)
    return people


def _make_user(person: DemoPerson) -> None:
    group = GROUPS[person.username]
    user = User.objects.create_user(
        person.username,
        f"{person.username}@example.com",
        person.password,
        is_staff=True,
        is_superuser=not group,
    )
    if group:
        user.groups.add(Group.objects.get(name=group))


def _keep(path: Path, people: list[DemoPerson]) -> None:
    path.unlink(missing_ok=True)
    with open(path, "x", opener=for_owner_alone) as file:
        file.writelines(f"{person}\n" for person in people)


def _password() -> str:
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))
