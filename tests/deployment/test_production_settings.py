"""As production sees it: Django's own deployment checks are content, and pages are locked down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

from tests.deployment.loading import BASE, load_settings
from tools.quality import PRODUCTION


def check_deploy(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    whole = {"PATH": os.environ["PATH"], **PRODUCTION, "DATA_DIR": str(data_dir), **environment}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=BASE,
        env=whole,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.once
class TestTheDeploymentChecks:
    def test_they_have_nothing_to_say_of_sane_settings(self, tmp_path: Path) -> None:
        done = check_deploy(tmp_path)
        assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr

    def test_they_refuse_to_deploy_the_sandbox(self, tmp_path: Path) -> None:
        done = check_deploy(tmp_path, SYLLABLE_API_KEY="")
        assert done.returncode == 1
        assert "batchops.E002" in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"), [("DEBUG", "on"), ("HTTPS_ONLY", "off"), ("SECRET_KEY", "short")]
    )
    def test_they_complain_of_what_is_dangerous(
        self, name: str, value: str, tmp_path: Path
    ) -> None:
        assert check_deploy(tmp_path, **{name: value}).returncode == 1

    def test_a_misspelt_name_in_the_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "env").write_text("APROVAL_THRESHOLD=5\n")
        done = check_deploy(tmp_path, ENV_FILE=str(tmp_path / "env"))
        assert done.returncode == 1
        assert "Did you mean APPROVAL_THRESHOLD?" in done.stderr


@pytest.mark.django_db
def test_pages_allow_nothing_inline_and_nothing_from_elsewhere(client: Client) -> None:
    policy = client.get("/login/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.django_db
def test_pages_cannot_be_framed_or_sniffed(client: Client) -> None:
    response = client.get("/login/")
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


def test_static_files_carry_a_hash_and_are_compressed(tmp_path: Path) -> None:
    storage = load_settings(tmp_path)["STORAGES"]["staticfiles"]["BACKEND"]
    assert storage == "whitenoise.storage.CompressedManifestStaticFilesStorage"


def test_where_static_files_are_collected_can_be_said(tmp_path: Path) -> None:
    assert load_settings(tmp_path, STATIC_ROOT="/srv/static")["STATIC_ROOT"] == Path("/srv/static")
