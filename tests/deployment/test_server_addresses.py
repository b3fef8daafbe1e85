"""DATABASE_URL, QUEUE_URL and EMAIL_URL: what they may name, and a deadline for each connection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from tests.deployment.loading import load_settings

BAD_ADDRESSES = [
    ("EMAIL_URL", "mail.example.com", "a URL such as smtp+tls://"),
    ("EMAIL_URL", "smtp://mail.example.com:port", "a URL such as smtp+tls://"),
    ("EMAIL_URL", "smtp://", "a URL such as smtp+tls://"),
    ("EMAIL_URL", "imap://mail.example.com", "a URL such as smtp+tls://"),
    ("EMAIL_URL", "smtp://mail.example.com?timeuot=5", "an unknown option timeuot; known are"),
    ("EMAIL_URL", "smtp://mail.example.com?timeout=soon", "a whole number from 1 to 300"),
    ("EMAIL_URL", "smtp://mail.example.com?timeout=5&timeout=6", "the option timeout twice"),
    ("DATABASE_URL", "mysql://host/name", "must be sqlite:///absolute/path or postgres://"),
    ("DATABASE_URL", "postgres://host:port/name", "must be postgres://user:password@host:5432"),
    ("DATABASE_URL", "postgres://host", "the name is missing"),
    ("DATABASE_URL", "postgres://user:p@ss@host/name", "percent-encoded"),
    ("DATABASE_URL", "postgres://user:p%ss@host/name", "percent-encoded"),
    ("DATABASE_URL", "postgres://[::1/name", "an IPv6 address in brackets"),
    ("DATABASE_URL", "postgres://host/name?ssl_mode=require", "an unknown option ssl_mode; known"),
    ("DATABASE_URL", "postgres://host/name?sslmode", "behind its question mark"),
    ("DATABASE_URL", "postgres://host/name?connect_timeout=soon", "must be a whole number"),
    ("DATABASE_URL", "postgres://host/name?pooling=statement", "an unknown option pooling"),
    ("DATABASE_URL", "postgres://host/name?pooling=transaction&options=-c", "and options, which"),
    ("QUEUE_URL", "postgres://host/name?pooling=transaction", "an unknown option pooling"),
    ("DATABASE_URL", "sqlite:////tmp/file?timeout=5", "an unknown option timeout; it takes none"),
    ("DATABASE_URL", "sqlite://relative.sqlite3", "its path is not absolute"),
    ("DATABASE_URL", "sqlite:///no/such/folder/file.sqlite3", "is not a folder"),
    ("QUEUE_URL", "amqp://host", "must be sqlite:///absolute/path, redis://"),
    ("QUEUE_URL", "redis://host:port/0", "must be sqlite:///absolute/path, redis://"),
    ("QUEUE_URL", "redis://host/zero", "must be sqlite:///absolute/path, redis://"),
    ("QUEUE_URL", "redis://host/0?timeuot=1", "an unknown option timeuot; known are"),
    ("QUEUE_URL", "redis://host/0?ssl_ca_certs=/ca.pem", "must be sqlite:///absolute/path"),
    ("QUEUE_URL", "postgres://host/name?max_size=4", "an unknown option max_size; known are"),
    ("QUEUE_URL", "sqlite:///no/such/folder/file.sqlite3", "is not a folder"),
    ("DATABASE_URL", "sqlite:///dev/null/x", "is not a folder"),
    ("QUEUE_URL", "sqlite:///dev", "/dev is a folder"),
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD_ADDRESSES)
def test_a_bad_address_is_refused_with_its_name_and_what_it_may_be(
    name: str, value: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name} .*{re.escape(expected)}"):
        load_settings(tmp_path, **{name: value})


@pytest.mark.parametrize("name", ["DATABASE_URL", "QUEUE_URL", "EMAIL_URL"])
def test_the_message_about_an_address_keeps_its_password(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        load_settings(tmp_path, **{name: "postgres://user:hunter2@host:port/name"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "QUEUE_URL", "EMAIL_URL"])
@pytest.mark.parametrize(
    "password", ["hun?ter2", "hun?ter2=x", "hunter2%", "hun@ter2?a=b", "hun ter2"]
)
def test_no_part_of_a_password_that_is_not_encoded_is_shown(
    name: str, password: str, tmp_path: Path
) -> None:
    scheme = "smtp" if name == "EMAIL_URL" else "postgres"
    try:
        load_settings(tmp_path, **{name: f"{scheme}://user:{password}@host:5432/name"})
    except ImproperlyConfigured as refused:
        assert "hun" not in str(refused)
        assert "ter2" not in str(refused)


def test_queues_and_databases_on_servers_are_not_asked_while_settings_load(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path,
        DATABASE_URL="postgres://user:pass%40word@db.invalid:5433/name?sslmode=require",
        QUEUE_URL="postgres://user@queue.invalid/name",
    )
    database = settings["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("db.invalid", "5433")
    assert database["PASSWORD"] == "pass@word"
    assert database["OPTIONS"]["sslmode"] == "require"
    assert load_settings(tmp_path, QUEUE_URL="redis://queue.invalid/1")["HUEY"] is not None


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgres://user@[::1]:5433/name", "::1", "5433"),
        ("postgres://user@%2Fvar%2Frun%2FPostgres/name", "/var/run/Postgres", ""),
        ("postgres://one:5432,[::2]:5433/name", "one,::2", "5432,5433"),
        ("postgresql:///name", "", ""),
    ],
)
def test_a_server_is_named_by_its_address_its_socket_or_several_names(
    url: str, host: str, port: str, tmp_path: Path
) -> None:
    settings = load_settings(tmp_path, DATABASE_URL=url, QUEUE_URL=url)
    database = settings["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"], database["NAME"]) == (host, port, "name")
    queue = conninfo_to_dict(settings["HUEY"].storage.dsn)
    assert (queue.get("host", ""), queue.get("port", "")) == (host, port)


def test_a_queue_in_redis_is_named_by_its_address_or_its_socket(tmp_path: Path) -> None:
    def connection(url: str) -> dict[str, Any]:
        queue = load_settings(tmp_path, QUEUE_URL=url)["HUEY"]
        return dict(queue.storage.pool.connection_kwargs)

    expected = {
        "host": "::1",
        "port": 6380,
        "db": 3,
        "username": "user",
        "password": "p@ss",
        "socket_connect_timeout": 2.0,
        "socket_timeout": 5.0,
    }
    assert expected.items() <= connection("redis://user:p%40ss@[::1]:6380/3").items()
    assert connection("unix:///run/redis.sock?db=2")["path"] == "/run/redis.sock"
    assert connection("rediss://host/0?socket_timeout=9")["socket_timeout"] == 9.0


def test_several_hosts_may_be_named_with_a_port_or_without(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, DATABASE_URL="postgres://user@one,two:5433,[::1]/name")
    database = settings["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("one,two,::1", ",5433,")


def test_a_file_is_named_as_urls_name_files(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    url = f"sqlite://{tmp_path}/with%20space/who%3F.sqlite3"
    settings = load_settings(tmp_path, DATABASE_URL=url, QUEUE_URL=f"{url}-queue")
    assert settings["DATABASES"]["default"]["NAME"] == str(folder / "who?.sqlite3")
    assert (folder / "who?.sqlite3-queue").exists()


def test_no_connection_is_without_a_deadline(tmp_path: Path) -> None:
    url = "postgres://host/name"
    settings = load_settings(tmp_path, DATABASE_URL=url, QUEUE_URL=url)
    database = settings["DATABASES"]["default"]["OPTIONS"]
    queue: dict[str, Any] = {**conninfo_to_dict(settings["HUEY"].storage.dsn)}
    for options in (database, queue):
        assert options["connect_timeout"] == "5"
        assert int(options["tcp_user_timeout"]) <= 60_000
        for deadline in ("lock_timeout", "statement_timeout", "idle_in_transaction_session"):
            assert deadline in options["options"]
    assert settings["EMAIL_TIMEOUT"] == 10


def test_deadlines_of_ones_own_overrule_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path,
        DATABASE_URL="postgres://host/name?connect_timeout=2&options=-c%20lock_timeout%3D1s",
        EMAIL_URL="smtp://mail.example.com?timeout=3",
    )
    options = settings["DATABASES"]["default"]["OPTIONS"]
    assert options["connect_timeout"] == "2"
    assert options["options"].endswith(" -c lock_timeout=1s"), "the last of a name counts"
    assert "-c statement_timeout=" in options["options"], "the others stay"
    assert settings["EMAIL_TIMEOUT"] == 3


def test_a_commit_on_sqlite_survives_a_power_cut(tmp_path: Path) -> None:
    options = load_settings(tmp_path)["DATABASES"]["default"]["OPTIONS"]
    assert "PRAGMA synchronous=FULL" in options["init_command"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 25, None, None)),
        ("smtp+tls://[::1]", ("::1", 587, True, None)),
        ("smtp+ssl://user:p%40ss@mail.example.com", ("mail.example.com", 465, None, True)),
        ("smtp+tls://mail.example.com:2525", ("mail.example.com", 2525, True, None)),
    ],
)
def test_the_port_of_a_mail_server_follows_its_scheme(
    url: str, expected: tuple[object, ...], tmp_path: Path
) -> None:
    settings = load_settings(tmp_path, EMAIL_URL=url)
    names = ("EMAIL_HOST", "EMAIL_PORT", "EMAIL_USE_TLS", "EMAIL_USE_SSL")
    assert tuple(settings.get(name) for name in names) == expected
    assert "OPTIONS" not in settings


def test_behind_a_pooler_nothing_is_told_to_a_server_that_another_would_hear(
    tmp_path: Path,
) -> None:
    url = "postgres://user:secret@host/name?sslmode=require"
    direct, pooled = (
        load_settings(tmp_path, DATABASE_URL=given)["DATABASES"]["default"]
        for given in (url, f"{url}&pooling=transaction")
    )
    assert "statement_timeout" in direct["OPTIONS"].pop("options")
    assert pooled["OPTIONS"] == direct["OPTIONS"]
    assert pooled["DISABLE_SERVER_SIDE_CURSORS"]
    assert not direct["DISABLE_SERVER_SIDE_CURSORS"]
