"""Settings of the test run: nothing of the machine's own `.env`, no vendor, no worker."""

import os

os.environ["ENV_FILE"] = os.devnull
os.environ |= {
    "DEBUG": "off",
    "HTTPS_ONLY": "off",
    "QUEUE_URL": "memory://",
    "SECRET_KEY": "of-the-tests-alone",
    "SYLLABLE_API_KEY": "key-of-the-tests",
    "SYLLABLE_BASE_URL": "http://127.0.0.1:9",
}

from config.settings import *  # noqa: E402, F403
from config.settings import STORAGES  # noqa: E402

STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
