"""Loads the settings anew, as a process with another environment would."""

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

BASE = Path(__file__).resolve().parent.parent.parent


def load_settings(data_dir: Path, **environment: str) -> dict[str, Any]:
    """All names of config/settings.py under an environment that holds nothing else."""
    return _load("settings", {"DATA_DIR": str(data_dir), **environment})


def load_gunicorn(**environment: str) -> dict[str, Any]:
    """All names of config/gunicorn.py under an environment that holds nothing else."""
    return _load("gunicorn", environment)


def without_static_files(storages: dict[str, Any]) -> dict[str, Any]:
    """STORAGES as in production; with an empty STATIC_ROOT nothing was collected."""
    backend = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    return {**storages, "staticfiles": {"BACKEND": backend}}


def _load(module: str, environment: Mapping[str, str]) -> dict[str, Any]:
    whole = {"ENV_FILE": os.devnull, **environment}
    with mock.patch.dict(os.environ, whole, clear=True):
        return runpy.run_path(str(BASE / "config" / f"{module}.py"))
