"""Every variable has a default, is documented, and a bad value is named before anything starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pytest import MonkeyPatch

from batchops import checks
from tests.deployment.loading import BASE, load_gunicorn, load_settings

REFERENCE = BASE / "docs" / "reference.md"

BAD_VALUES = [
    ("SYLLABLE_MAX_IN_FLIGHT", "0", "a whole number from 1 to 256"),
    ("SYLLABLE_MAX_IN_FLIGHT", "many", "a whole number from 1 to 256"),
    ("SYLLABLE_CONNECT_TIMEOUT", "0", "a number of seconds from 0.1 to 60"),
    ("SYLLABLE_TIMEOUT", "301", "a number of seconds from 0.1 to 300"),
    ("SYLLABLE_TIMEOUT", "nan", "a number of seconds from 0.1 to 300"),
    ("PUSH_LEASE_SECONDS", "3", "a whole number from 4 to 600"),
    ("SYLLABLE_PAGE_SIZE", "24", "a whole number from 25 to 5000"),
    ("SYLLABLE_USE_PROXIES", "perhaps", "on or off"),
    ("SYNC_INTERVAL", "9", "a whole number from 10 to 86400"),
    ("FULL_SYNC_INTERVAL", "1h", "a whole number from 60 to 604800"),
    ("MIRROR_MAX_AGE", "-1", "a whole number from 30 to 604800"),
    ("APPROVAL_THRESHOLD", "-5", "a whole number from 0 to 10000000"),
    ("APPROVAL_FOR", "resume", "one of none, expanding, all"),
    ("APPROVAL_HOURS", "-1", "a whole number from 0 to 8784"),
    ("OPEN_DRAFTS", "0", "a whole number from 1 to 10000"),
    ("DENIALS_PER_MINUTE", "0", "a whole number from 1 to 10000"),
    ("TYPED_CONFIRMATION_ABOVE", "0", "a whole number from 1 to 10000000"),
    ("AUDIT_ANCHOR_INTERVAL", "59", "a whole number from 60 to 604800"),
    ("ALLOWED_HOSTS", "https://batchops.example.com", "without https:// or a port"),
    ("ALLOWED_HOSTS", "batchops.example.com:8000", "without https:// or a port"),
    ("ALLOWED_HOSTS", "::1", "an IPv6 address in brackets"),
    ("ALLOWED_HOSTS", "two words", "comma-separated host names"),
    ("CSRF_TRUSTED_ORIGINS", "batchops.example.com", "comma-separated origins"),
    ("CSRF_TRUSTED_ORIGINS", "https://batchops.example.com/", "without a path"),
    ("TRUSTED_PROXIES", "proxy.example.com", "comma-separated networks"),
    ("TRUSTED_PROXIES", "10.0.0.0/33", "comma-separated networks"),
    ("TRUSTED_PROXIES", "10.0.0.1/8", "comma-separated networks"),
    ("HEALTH_DETAILS_FROM", "localhost", "comma-separated networks"),
    ("METRICS_FROM", "localhost", "comma-separated networks"),
    ("HSTS_INCLUDE_SUBDOMAINS", "all", "on or off"),
    ("HSTS_PRELOAD", "all", "on or off"),
    ("HSTS_PRELOAD", "on", "HSTS_INCLUDE_SUBDOMAINS=on"),
    ("SYNC_INTERVAL", "6_0", "a whole number"),
    ("SYNC_INTERVAL", "٦٠", "a whole number"),
    ("SYLLABLE_TIMEOUT", "1e1", "a number of seconds"),
    ("SYNC_INTERVAL", '"60"', "has quotes around its value"),
    ("SYLLABLE_API_KEY", "'key'", "has quotes around its value"),
    ("SECRET_KEY", "two\nlines", "has a line break"),
    ("RESUME_WINDOWS", "mon-fri\x1b[2J", "has a line break, another control character"),
    ("DEFAULT_FROM_EMAIL", "a@example.com\nBcc: b@example.com", "has a line break"),
    ("HTTPS_ONLY", "sometimes", "on or off"),
    ("SESSION_HOURS", "0", "a whole number from 1 to 720"),
    ("TIME_ZONE", "Mars/Olympus", "a zone of the IANA list"),
    ("TIME_ZONE", "../../etc/passwd", "a zone of the IANA list"),
    ("DEBUG", "very", "on or off"),
    ("SANDBOX_PORT", "65536", "a whole number from 1 to 65535"),
    ("LOG_FORMAT", "xml", "one of plain, json"),
    ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
    ("DEFAULT_FROM_EMAIL", "nobody", "a mail address"),
    ("AUDIT_ANCHOR_EMAILS", "a@example.com; b@example.com", "comma-separated mail addresses"),
    ("DATA_DIR", "/dev/null/folder", "a folder that can be made"),
]
BAD_SERVER_VALUES = [
    ("WEB_PORT", "0", "a whole number from 1 to 65535"),
    ("WEB_PORT", "http", "a whole number from 1 to 65535"),
    ("WEB_HOST", "http://localhost", "a host name or an address, without a port"),
    ("WEB_HOST", "0.0.0.0:80", "a host name or an address, without a port"),
    ("WEB_HOST", "*", "a host name or an address, without a port"),
    ("WEB_CONCURRENCY", "0", "a whole number from 1 to 128"),
    ("WEB_THREADS", "129", "a whole number from 1 to 128"),
    ("LOG_FORMAT", "xml", "one of plain, json"),
    ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
]
BAD_ADDRESSES = [
    "api.syllable.cloud",
    "http://api.syllable.cloud",
    "ftp://api.syllable.cloud",
    "https://",
    "https://user:password@api.syllable.cloud",
]


@pytest.mark.parametrize(("name", "value", "expected"), BAD_VALUES)
def test_a_bad_value_is_refused_with_its_name_and_what_it_may_be(
    name: str, value: str, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name} .*{re.escape(expected)}"):
        load_settings(tmp_path, **{name: value})


@pytest.mark.parametrize(("name", "value", "expected"), BAD_SERVER_VALUES)
def test_a_bad_value_for_the_web_server_is_refused_too(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name} .*{re.escape(expected)}"):
        load_gunicorn(**{name: value})


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_an_address_that_cannot_be_the_vendors_is_an_error_of_the_checks(address: str) -> None:
    with override_settings(SYLLABLE_BASE_URL=address):
        problems = checks.vendor_address()
    assert [problem.id for problem in problems] == ["batchops.E001"]


@pytest.mark.parametrize("key", ["", "two words", "line\nfeed", "ümlaut"])
def test_a_key_that_cannot_be_sent_is_an_error_of_the_checks(key: str) -> None:
    with override_settings(SYLLABLE_API_KEY=key):
        problems = checks.vendor_address()
    assert [problem.id for problem in problems] == ["batchops.E001"]
    assert not key or key not in str(problems[0].msg)


@pytest.mark.parametrize("text", ["whenever", "mon 25:00-26:00", "mon-fri 18:00", "xyz 8:00-9:00"])
def test_hours_for_resuming_that_cannot_be_read_are_an_error_of_the_checks(text: str) -> None:
    with override_settings(RESUME_WINDOWS=text):
        problems = checks.resume_windows()
    assert [problem.id for problem in problems] == ["batchops.E003"]
    assert "RESUME_WINDOWS" in problems[0].msg


@pytest.mark.parametrize("name", ["AUDIT_SIGNING_KEY", "AUDIT_PUBLIC_KEYS"])
@pytest.mark.parametrize("text", ["not base64!", "c2hvcnQ=", "=" * 44])
def test_a_key_that_cannot_sign_the_trail_is_an_error_that_does_not_repeat_it(
    name: str, text: str
) -> None:
    value = text if name == "AUDIT_SIGNING_KEY" else [text]
    with override_settings(**{name: value}):
        problems = checks.audit_keys()
    assert [problem.id for problem in problems] == ["batchops.E004"]
    assert name in problems[0].msg
    assert text not in problems[0].msg


def test_an_origin_without_its_scheme_is_an_error_of_the_checks() -> None:
    with override_settings(CSRF_TRUSTED_ORIGINS=["batchops.example.com"]):
        problems = run_checks()
    assert "4_0.E001" in [problem.id for problem in problems]


def test_with_an_empty_environment_it_is_a_demo_on_the_sandbox(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings["DEMO"]
    assert settings["SYLLABLE_BASE_URL"] == "http://127.0.0.1:8900"
    assert not settings["HTTPS_ONLY"]
    assert not settings["DEBUG"]


def test_without_a_key_no_other_address_than_the_sandbox_is_spoken_to(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, SYLLABLE_BASE_URL="https://api.example.com")
    assert settings["SYLLABLE_BASE_URL"] == "http://127.0.0.1:8900"


def test_with_a_key_the_vendor_is_spoken_to_and_https_is_the_rule(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, SYLLABLE_API_KEY="key", SECRET_KEY="secret")
    assert not settings["DEMO"]
    assert settings["SYLLABLE_BASE_URL"] == "https://api.syllable.cloud"
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] >= 31_536_000


def test_with_a_key_a_secret_must_be_set(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        load_settings(tmp_path, SYLLABLE_API_KEY="key")


def test_the_secret_of_a_demo_is_kept_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first, second = load_settings(tmp_path), load_settings(tmp_path)
    assert len(first["SECRET_KEY"]) >= 50
    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_secret_may_begin_with_a_dollar_sign(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, SYLLABLE_API_KEY="$key", SECRET_KEY="$secret")
    assert (settings["SYLLABLE_API_KEY"], settings["SECRET_KEY"]) == ("$key", "$secret")


def test_an_empty_value_counts_as_not_set(tmp_path: Path) -> None:
    names = _documented()
    example = load_settings(tmp_path, **{name: "" for name in names if name != "DATA_DIR"})
    plain = load_settings(tmp_path)
    assert _values(example) == _values(plain)


def test_the_example_file_states_the_defaults(tmp_path: Path) -> None:
    example = load_settings(tmp_path, ENV_FILE=str(BASE / ".env.example"))
    plain = load_settings(tmp_path)
    assert _values(example) == _values(plain)
    server = load_gunicorn(ENV_FILE=str(BASE / ".env.example"))
    defaults = load_gunicorn()
    for name in ("bind", "workers", "threads"):
        assert server[name] == defaults[name]


def test_every_variable_is_documented_in_the_example_file_and_in_the_reference(
    tmp_path: Path,
) -> None:
    read = load_settings(tmp_path)["env"].read | load_gunicorn()["env"].read
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", REFERENCE.read_text(), re.MULTILINE))
    assert _documented() == read
    assert table == read


def test_the_data_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    load_settings(tmp_path / "deep" / "data")
    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700


def test_hsts_binds_other_sites_of_the_domain_only_when_told_to(tmp_path: Path) -> None:
    real = {"SYLLABLE_API_KEY": "key", "SECRET_KEY": "secret"}
    settings = load_settings(tmp_path, **real)
    assert not settings["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert not settings["SECURE_HSTS_PRELOAD"]
    both = {"HSTS_INCLUDE_SUBDOMAINS": "on", "HSTS_PRELOAD": "on"}
    settings = load_settings(tmp_path, **real, **both)
    assert settings["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert settings["SECURE_HSTS_PRELOAD"]


def test_white_space_around_a_value_is_no_part_of_it(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path, SYLLABLE_API_KEY=" key\r", SECRET_KEY="secret\n", SYNC_INTERVAL=" 30 "
    )
    assert (settings["SYLLABLE_API_KEY"], settings["SECRET_KEY"]) == ("key", "secret")
    assert settings["SYNC_INTERVAL"] == 30


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_web_server_listens_on_an_ipv6_address_however_it_is_written(host: str) -> None:
    assert load_gunicorn(WEB_HOST=host)["bind"] == "[::1]:8000"


def test_a_relative_path_lies_beside_the_file_wherever_a_program_is_started(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(tmp_path, AUDIT_ANCHOR_FILE="anchors.jsonl", STATIC_ROOT="static")
    assert settings["AUDIT_ANCHOR_FILE"] == str(BASE / "anchors.jsonl")
    assert settings["STATIC_ROOT"] == BASE / "static"


def _documented() -> set[str]:
    return set(re.findall(r"^([A-Z_]+)=", (BASE / ".env.example").read_text(), re.MULTILINE))


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that can be compared."""
    return {
        name: value
        for name, value in settings.items()
        if name.isupper() and name not in ("HUEY", "BASE_DIR", "SECRET_KEY")
    }
