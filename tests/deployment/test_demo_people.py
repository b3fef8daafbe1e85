"""A demo has one person for each role, and their passwords are kept for its owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from batchops.services import demo

pytestmark = pytest.mark.django_db


def test_there_is_one_person_for_each_role_and_an_administrator(tmp_path: Path) -> None:
    people = demo.make_people(tmp_path)
    roles = {
        user.username: [group.name for group in user.groups.all()] for user in User.objects.all()
    }
    assert roles == {
        "operator": ["Operator"],
        "approver": ["Approver"],
        "auditor": ["Auditor"],
        "admin": [],
    }
    assert [user.username for user in User.objects.filter(is_superuser=True)] == ["admin"]
    assert len({person.password for person in people}) == 4


def test_everybody_can_sign_in_with_what_is_printed(tmp_path: Path, client: Client) -> None:
    for person in demo.make_people(tmp_path):
        form = {"username": person.username, "password": person.password, "next": "/"}
        assert client.post("/login/", form).status_code == 302
        client.logout()


def test_the_passwords_are_kept_for_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / demo.PASSWORD_FILE).write_text("left over")
    people = demo.make_people(tmp_path)
    path = tmp_path / demo.PASSWORD_FILE
    assert path.read_text().splitlines() == [str(person) for person in people]
    assert path.stat().st_mode & 0o777 == 0o600


def test_where_there_is_a_user_already_nobody_is_made(tmp_path: Path) -> None:
    User.objects.create_user("first")
    assert demo.make_people(tmp_path) == []
    assert not (tmp_path / demo.PASSWORD_FILE).exists()
    assert User.objects.count() == 1


def test_without_the_file_nobody_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        demo.make_people(tmp_path / "absent")
    assert not User.objects.exists()
