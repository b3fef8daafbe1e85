"""Settings of the test run: nothing of the machine's own `.env`, no vendor, no worker.

`DATABASE_URL` decides on which database the tests run.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "BATCHOPS_TEST_DATA" not in os.environ:
    # Shared by the processes of one run, apart from other runs in the same checkout.
    folder = os.environ["BATCHOPS_TEST_DATA"] = tempfile.mkdtemp(prefix="batchops-tests-")
    (Path(folder) / "static").mkdir()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

os.environ |= {
    "ENV_FILE": os.devnull,
    "DATA_DIR": os.environ["BATCHOPS_TEST_DATA"],
    "DEBUG": "off",
    "HTTPS_ONLY": "off",
    "MFA_REQUIRED_FOR": "nobody",
    "QUEUE_URL": "memory://",
    "STATIC_ROOT": os.environ["BATCHOPS_TEST_DATA"] + "/static",
    "SECRET_KEY": "of-the-tests-alone",
    "SYLLABLE_API_KEY": "key-of-the-tests",
    "SYLLABLE_BASE_URL": "http://127.0.0.1:9",
    # The sandbox's reads do not lag, unless a test makes them.
    "SYLLABLE_READ_LAG": "0",
}

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, STORAGES

STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Its `flush` takes the place of Django's.
INSTALLED_APPS.insert(0, "tests")
