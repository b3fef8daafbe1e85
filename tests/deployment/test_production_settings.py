"""As production sees it: Django's own deployment checks are content, and pages are locked down."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from django.test import Client

from tests.deployment.loading import BASE, load_settings
from tools.quality import COLLECT, DEPLOYMENT_CHECK, PRODUCTION


@pytest.fixture(scope="module")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collected static files."""
    folder = tmp_path_factory.mktemp("static")
    aside = {"ENV_FILE": os.devnull, "DATA_DIR": str(folder.parent), "STATIC_ROOT": str(folder)}
    subprocess.run(
        [*COLLECT], cwd=BASE, env={"PATH": os.environ["PATH"], **aside}, check=True, timeout=120
    )
    return folder


@pytest.fixture
def environment(tmp_path: Path, static_root: Path) -> dict[str, str]:
    """Of a deployment that there is nothing to say about."""
    sane = {"DATA_DIR": str(tmp_path), "STATIC_ROOT": str(static_root)}
    return {"PATH": os.environ["PATH"], **PRODUCTION, **sane}


def check_deploy(environment: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEPLOYMENT_CHECK],
        cwd=BASE,
        env={**environment, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class TestTheDeploymentChecks:
    def test_they_have_nothing_to_say_of_sane_settings(self, environment: dict[str, str]) -> None:
        done = check_deploy(environment)
        assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            (
                {
                    "APPROVAL_FOR": "none",
                    "AUDIT_SIGNING_KEY": "",
                    "AUDIT_ANCHOR_FILE": "",
                    "STATIC_ROOT": "/no/such/folder",
                    "TRUSTED_PROXIES": "",
                },
                {
                    "W002": "Set APPROVAL_FOR=expanding, or APPROVAL_THRESHOLD",
                    "W003": "manage.py generate_audit_key",
                    "W004": "Set AUDIT_ANCHOR_FILE",
                    "W007": "Run manage.py collectstatic",
                    "W009": "TRUSTED_PROXIES=10.0.0.0/8",
                },
            ),
            (
                {
                    "AUDIT_ANCHOR_FILE": "/no/such/folder/anchors",
                    "AUDIT_ANCHOR_EMAILS": "a@example.com",
                    "TRUSTED_PROXIES": "0.0.0.0/0",
                },
                {
                    "W005": "Make it, or mount it",
                    "W006": "Set EMAIL_URL",
                    "W008": "TRUSTED_PROXIES=10.0.0.0/8",
                },
            ),
        ],
    )
    def test_they_speak_up_and_say_what_to_do(
        self, changed: dict[str, str], said: dict[str, str], environment: dict[str, str]
    ) -> None:
        done = check_deploy(environment, **changed)
        assert done.returncode == 1
        assert re.findall(r"batchops\.(\w+)", done.stderr) == list(said)
        for hint in said.values():
            assert hint in done.stderr

    def test_a_file_of_keys_that_others_may_read_is_told(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        file = tmp_path / "env"
        file.write_text("APPROVAL_THRESHOLD=5\n")
        for mode, code in ((0o600, 0), (0o640, 1)):
            file.chmod(mode)
            done = check_deploy(environment, ENV_FILE=str(file))
            assert (done.returncode, f"chmod 600 {file}" in done.stderr) == (code, bool(code))

    def test_they_refuse_to_deploy_the_sandbox(self, environment: dict[str, str]) -> None:
        done = check_deploy(environment, SYLLABLE_API_KEY="")
        assert done.returncode == 1
        assert "batchops.E002" in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"), [("DEBUG", "on"), ("HTTPS_ONLY", "off"), ("SECRET_KEY", "short")]
    )
    def test_they_complain_of_what_is_dangerous(
        self, name: str, value: str, environment: dict[str, str]
    ) -> None:
        assert check_deploy(environment, **{name: value}).returncode == 1

    def test_a_misspelt_name_in_the_file_is_told(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "env").write_text("aproval_threshold=5\n")
        done = check_deploy(environment, ENV_FILE=str(tmp_path / "env"))
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
