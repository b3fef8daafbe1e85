"""The `.env` file: read strictly, so that no setting is taken for another or passed over."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from batchops import checks
from config.environment import dotenv
from tests.deployment.loading import load_settings


def test_it_sets_what_the_environment_does_not(tmp_path: Path) -> None:
    file = _file(tmp_path, "# a comment\n\nSYNC_INTERVAL=30\nexport SESSION_HOURS='3'\n")
    settings = load_settings(tmp_path, ENV_FILE=file, SESSION_HOURS="5")
    assert settings["SYNC_INTERVAL"] == 30
    assert settings["SESSION_COOKIE_AGE"] == 5 * 3600


@pytest.mark.parametrize("line", ["SYNC_INTERVAL 30", "SYNC_INTERVAL = 30", "  # x", "9=1"])
def test_a_line_that_cannot_be_read_is_refused_with_its_number_not_its_text(
    line: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, f"DEBUG=off\n{line}\n")
    with pytest.raises(ImproperlyConfigured, match=r"Line 2 of .*must be NAME=value") as refused:
        load_settings(tmp_path, ENV_FILE=file)
    assert line not in str(refused.value)


def test_a_name_that_comes_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    file = _file(tmp_path, "SYNC_INTERVAL=30\n# and\nexport SYNC_INTERVAL=60\n")
    with pytest.raises(ImproperlyConfigured, match="sets SYNC_INTERVAL twice, in lines 1 and 3"):
        load_settings(tmp_path, ENV_FILE=file)


@pytest.mark.parametrize(
    "value",
    ["hunter2 # mine", "hunter2\t#mine", "'hunter2' # mine", "# hunter2", '"hunter2" #'],
)
def test_a_comment_behind_a_value_is_refused_and_the_value_not_shown(
    value: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, f"SECRET_KEY={value}\n")
    with pytest.raises(ImproperlyConfigured, match=r"Line 1 .*a comment behind") as refused:
        load_settings(tmp_path, ENV_FILE=file)
    assert "SECRET_KEY" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", ["'hunter2", '"hunter2', '"hunter2"x', "'hunter2\""])
def test_a_quote_that_is_not_closed_is_refused(value: str, tmp_path: Path) -> None:
    file = _file(tmp_path, f"SECRET_KEY={value}\n")
    with pytest.raises(ImproperlyConfigured, match=r"Line 1 .*opens a quote") as refused:
        load_settings(tmp_path, ENV_FILE=file)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a#b", "a#b"),
        ("'a # b'", "a # b"),
        ('"a # b"', "a # b"),
        (r'"a \"b\" \$c \\"', 'a "b" $c \\'),
        (r"'\n'", r"\n"),
        ("a'b", "a'b"),
        ("a=b", "a=b"),
        ("a\u2028SYNC_INTERVAL=9", "a\u2028SYNC_INTERVAL=9"),
    ],
)
def test_a_value_is_what_is_written_within_or_without_quotes(
    written: str, meant: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, f"SECRET_KEY={written}\n")
    assert load_settings(tmp_path, ENV_FILE=file)["SECRET_KEY"] == meant


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_every_text_can_be_written_in_double_quotes(text: str) -> None:
    escaped = re.sub(r'(["\\$])', r"\\\1", text)
    with tempfile.NamedTemporaryFile() as file:
        file.write(f'NAME="{escaped}"\n'.encode())
        file.flush()
        assert dotenv.read(Path(file.name)) == {"NAME": text}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_break_ends_a_line(separator: str, tmp_path: Path) -> None:
    file = _file(tmp_path, f"# a comment{separator}SYNC_INTERVAL=9\nSYNC_INTERVAL=30\n")
    assert load_settings(tmp_path, ENV_FILE=file)["SYNC_INTERVAL"] == 30


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_it_may_come_from_any_editor(mark: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(f"{mark}SYNC_INTERVAL=30{end}SESSION_HOURS='3'{end}".encode())
    settings = load_settings(tmp_path, ENV_FILE=str(path))
    assert (settings["SYNC_INTERVAL"], settings["SESSION_COOKIE_AGE"]) == (30, 3 * 3600)


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_does_not_hide_what_it_says(empty: str, tmp_path: Path) -> None:
    file = _file(tmp_path, "APPROVAL_THRESHOLD=50\n")
    settings = load_settings(tmp_path, ENV_FILE=file, APPROVAL_THRESHOLD=empty)
    assert settings["APPROVAL_THRESHOLD"] == 50


def test_a_nul_character_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path, "DEBUG=off\nSECRET_KEY=a\x00b\n")
    with pytest.raises(ImproperlyConfigured, match=r"Line 2 .*SECRET_KEY a value with a NUL"):
        load_settings(tmp_path, ENV_FILE=file)


def test_one_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Cannot read .*No such file"):
        load_settings(tmp_path, ENV_FILE=str(tmp_path / "absent"))


def test_one_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"DEBUG=\xff\n")
    with pytest.raises(ImproperlyConfigured, match="not UTF-8 text"):
        load_settings(tmp_path, ENV_FILE=str(path))


def test_a_name_that_means_nothing_is_a_warning_with_the_one_that_was_meant(tmp_path: Path) -> None:
    env = load_settings(tmp_path, ENV_FILE=_file(tmp_path, "APROVAL_THRESHOLD=5\n"))["env"]
    (unknown,) = env.in_file - env.read
    warning = checks.unknown_name(unknown, env.read)
    assert "APROVAL_THRESHOLD" in warning.msg
    assert warning.hint == "Did you mean APPROVAL_THRESHOLD?"


def test_a_name_like_no_other_points_to_the_example_file() -> None:
    assert checks.unknown_name("QQ", {"DEBUG"}).hint == ".env.example has all names."


def _file(folder: Path, text: str) -> str:
    path = folder / "env"
    path.write_text(text)
    return os.fspath(path)
