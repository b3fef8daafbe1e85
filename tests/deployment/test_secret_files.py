"""Secrets in files of their own: each may be, and a file that cannot be meant stops the start."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment.secret import MOST_BYTES
from tests.deployment.loading import BASE, load_settings

SECRETS = {
    "SYLLABLE_API_KEY": "the-key",
    "SECRET_KEY": "the-secret",
    "SECRET_KEY_FALLBACKS": "former, older",
    "DATABASE_URL": "postgres://batchops:hunter2@db.example.com/batchops",
    "QUEUE_URL": "redis://:hunter2@redis.example.com:6379/0",
    "AUDIT_SIGNING_KEY": "signing",
    "METRICS_TOKEN": "token",
    "OIDC_CLIENT_SECRET": "client",
    "EMAIL_URL": "smtp+tls://user:hunter2@mail.example.com",
}


def test_every_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    files = {
        f"{name}_FILE": _file(tmp_path / name, f"\ufeff{text}\r\n".encode())
        for name, text in SECRETS.items()
    }
    settings, plain = load_settings(tmp_path, **files), load_settings(tmp_path, **SECRETS)
    for name in (
        "SYLLABLE_API_KEY",
        "SECRET_KEY",
        "AUDIT_SIGNING_KEY",
        "METRICS_TOKEN",
        "OIDC_CLIENT_SECRET",
    ):
        assert settings[name] == SECRETS[name]
    assert settings["SECRET_KEY_FALLBACKS"] == ["former", "older"]
    assert settings["DATABASES"] == plain["DATABASES"]
    assert settings["DATABASES"]["default"]["PASSWORD"] == "hunter2"
    assert settings["EMAIL_HOST_PASSWORD"] == "hunter2"
    queue = settings["HUEY"].storage.pool.connection_kwargs
    assert (queue["host"], queue["password"]) == ("redis.example.com", "hunter2")


def test_whatever_the_example_calls_a_secret_is_one_of_them() -> None:
    example = (BASE / ".env.example").read_text()
    assert set(re.findall(r"^# File that holds (\w+)\.$", example, re.MULTILINE)) == set(SECRETS)


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    """As Docker makes one, where a file that is to be mounted is not there."""
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_missing, "cannot be read: No such file"),
        (_unreadable, "cannot be read: Too many levels"),
        (_folder, "cannot be read: Is a directory"),
        (_pipe, "is no regular file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b" \n"), "is empty"),
        (lambda path: path.write_bytes(b"hunter2\xff"), "is not UTF-8 text"),
        (lambda path: path.write_bytes(b"hunter2" * MOST_BYTES), "holds more than 64 KiB"),
    ],
)
def test_a_file_that_holds_no_secret_is_named_with_the_reason(
    spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.touch()
    spoil(path)
    with pytest.raises(ImproperlyConfigured) as refused:
        load_settings(tmp_path, SYLLABLE_API_KEY_FILE=str(path))
    assert str(refused.value).startswith(f"SYLLABLE_API_KEY_FILE is {str(path)!r}, which {words}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"), [(b"hunter2\nhunter3\n", "a line break"), (b'"hunter2"\n', "quotes")]
)
def test_what_cannot_be_meant_is_refused_as_in_a_variable(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = _file(tmp_path / "key", content)
    with pytest.raises(
        ImproperlyConfigured, match=rf"file of SECRET_KEY_FILE has {words}"
    ) as refused:
        load_settings(tmp_path, SECRET_KEY_FILE=path)
    assert "hunter" not in str(refused.value)


def test_a_secret_and_its_file_are_not_both_set(tmp_path: Path) -> None:
    path = _file(tmp_path / "key", b"hunter2")
    both = {"METRICS_TOKEN": "hunter3", "METRICS_TOKEN_FILE": path}
    written = "".join(f"{name}={text}\n" for name, text in both.items()).encode()
    for environment in (both, {"ENV_FILE": _file(tmp_path / "env", written)}):
        with pytest.raises(
            ImproperlyConfigured, match="METRICS_TOKEN and METRICS_TOKEN_FILE are both set"
        ) as refused:
            load_settings(tmp_path, **environment)
        assert "hunter" not in str(refused.value)


def test_the_environment_overrules_the_file_env_for_both_together(tmp_path: Path) -> None:
    path = _file(tmp_path / "token", b"of the file")
    names_it = _file(tmp_path / "one", f"METRICS_TOKEN_FILE={path}\n".encode())
    holds_it = _file(tmp_path / "two", b"METRICS_TOKEN=of env\n")
    settings = load_settings(tmp_path, ENV_FILE=names_it, METRICS_TOKEN="of the process")
    assert settings["METRICS_TOKEN"] == "of the process"
    settings = load_settings(tmp_path, ENV_FILE=holds_it, METRICS_TOKEN_FILE=path)
    assert settings["METRICS_TOKEN"] == "of the file"


def _file(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
