"""All settings, read from the environment; `.env.example` documents each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config.environment.reader import Environment
from config.environment.secret import demo_secret
from config.logs import logging_settings
from config.servers.databases import database
from config.servers.mail import mail_server
from config.servers.queue import queue

# Lets generic classes of Django name what they hold: ModelAdmin[Batch].
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(BASE_DIR)

DATA_DIR = env.folder("DATA_DIR", BASE_DIR / "var")

# The vendor ---------------------------------------------------------------------------------

SYLLABLE_API_KEY = env.secret("SYLLABLE_API_KEY")
DEMO = not SYLLABLE_API_KEY
"""Without a key of the vendor, batchops runs on the bundled sandbox and says so everywhere."""

SANDBOX_PORT = env.whole("SANDBOX_PORT", 8900, 1, 65535)
SANDBOX_URL = f"http://127.0.0.1:{SANDBOX_PORT}"
SANDBOX_KEY = "sandbox-key"
if DEMO:
    SYLLABLE_API_KEY = SANDBOX_KEY
SYLLABLE_BASE_URL = env.text("SYLLABLE_BASE_URL", "https://api.syllable.cloud")
if DEMO:
    SYLLABLE_BASE_URL = SANDBOX_URL
SYLLABLE_MAX_IN_FLIGHT = env.whole("SYLLABLE_MAX_IN_FLIGHT", 16, 1, 256)
SYLLABLE_MAX_RATE = env.number("SYLLABLE_MAX_RATE", 0, 0, 10_000)
SYLLABLE_CONNECT_TIMEOUT = env.seconds("SYLLABLE_CONNECT_TIMEOUT", 5, 0.1, 60)
SYLLABLE_TIMEOUT = env.seconds("SYLLABLE_TIMEOUT", 30, 0.1, 300)
PUSH_LEASE_SECONDS = env.whole("PUSH_LEASE_SECONDS", 60, 4, 600)
SYLLABLE_READ_LAG = env.seconds("SYLLABLE_READ_LAG", 120, 0, 600)
SYLLABLE_PAGE_SIZE = env.whole("SYLLABLE_PAGE_SIZE", 500, 25, 5000)
SYLLABLE_USE_PROXIES = env.switch("SYLLABLE_USE_PROXIES", False)
SYLLABLE_KEY_EXPIRES = env.day("SYLLABLE_KEY_EXPIRES")

SYNC_INTERVAL = env.whole("SYNC_INTERVAL", 60, 10, 86_400)
SYNC_MAX_MISSING_PERCENT = env.whole("SYNC_MAX_MISSING_PERCENT", 5, 0, 100)
FULL_SYNC_INTERVAL = env.whole("FULL_SYNC_INTERVAL", 3600, 60, 604_800)
MIRROR_MAX_AGE = env.whole("MIRROR_MAX_AGE", 600, 30, 604_800)

# What is cleaned up, and when -------------------------------------------------------------------

KEEP_SYNC_RUNS_DAYS = env.whole("KEEP_SYNC_RUNS_DAYS", 90, 1, 36_500)
KEEP_DRAFTS_DAYS = env.whole("KEEP_DRAFTS_DAYS", 30, 1, 36_500)
KEEP_PASTED_IDS_DAYS = env.whole("KEEP_PASTED_IDS_DAYS", 1, 1, 365)
KEEP_NOTICES_DAYS = env.whole("KEEP_NOTICES_DAYS", 90, 1, 36_500)

# The rules of the house ---------------------------------------------------------------------

APPROVAL_THRESHOLD = env.whole("APPROVAL_THRESHOLD", 0, 0, 10_000_000)
APPROVAL_FOR = env.choice("APPROVAL_FOR", "none", ("none", "expanding", "all"))
APPROVAL_HOURS = env.whole("APPROVAL_HOURS", 72, 0, 8_784)
OPEN_DRAFTS = env.whole("OPEN_DRAFTS", 20, 1, 10_000)
DENIALS_PER_MINUTE = env.whole("DENIALS_PER_MINUTE", 30, 1, 10_000)
TYPED_CONFIRMATION_ABOVE = env.whole("TYPED_CONFIRMATION_ABOVE", 100, 1, 10_000_000)
RESUME_WINDOWS = env.text("RESUME_WINDOWS")

NOTICE_WAITING_MINUTES = env.whole("NOTICE_WAITING_MINUTES", 15, 1, 10_080)
NOTICE_PAUSED_DAYS = env.whole("NOTICE_PAUSED_DAYS", 14, 1, 3_650)
NOTICE_EXPIRY_HOURS = env.whole("NOTICE_EXPIRY_HOURS", 24, 1, 168)
NOTICE_NETWORKS = env.networks("NOTICE_NETWORKS")
SITE_URL = env.origin("SITE_URL")

AUDIT_SIGNING_KEY = env.secret("AUDIT_SIGNING_KEY")
AUDIT_PUBLIC_KEYS = env.words("AUDIT_PUBLIC_KEYS")
AUDIT_ANCHOR_INTERVAL = env.whole("AUDIT_ANCHOR_INTERVAL", 3600, 60, 604_800)
AUDIT_ANCHOR_FILE = str(env.path("AUDIT_ANCHOR_FILE")) if env.text("AUDIT_ANCHOR_FILE") else ""
AUDIT_ANCHOR_EMAILS = env.mail_addresses("AUDIT_ANCHOR_EMAILS")
AUDIT_RETENTION_DAYS = env.whole("AUDIT_RETENTION_DAYS", 2192, 1, 36_500)

# Django -------------------------------------------------------------------------------------

DEBUG = env.switch("DEBUG", False)
SECRET_KEY = env.secret("SECRET_KEY")
if not SECRET_KEY:
    if not DEMO:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Put a long random value into .env: "
            'python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    SECRET_KEY = demo_secret(DATA_DIR)
SECRET_KEY_FALLBACKS = env.secrets("SECRET_KEY_FALLBACKS")

ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
HEALTH_DETAILS_FROM = env.networks("HEALTH_DETAILS_FROM", "127.0.0.0/8, ::1")
METRICS_FROM = env.networks("METRICS_FROM", "127.0.0.0/8, ::1")
METRICS_TOKEN = env.secret("METRICS_TOKEN")
# What a client or the environment says of a path in front of the site does not move it.
FORCE_SCRIPT_NAME = ""

INSTALLED_APPS = [
    "batchops.apps.BatchopsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "huey.contrib.djhuey",
    "batchops.apps.BatchopsConfig",
    "batchops.metrics",
    "batchops.accounts",
    "batchops.notices",
    "batchops.release_windows",
    "batchops.saved_views",
]

MIDDLEWARE = [
    "batchops.web.middleware.RequestIdMiddleware",
    "batchops.web.middleware.ProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "batchops.web.middleware.HostMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "batchops.web.middleware.SessionUseMiddleware",
    "batchops.web.middleware.TimeZoneMiddleware",
    "batchops.web.middleware.ActingPersonMiddleware",
    "batchops.web.middleware.DeniedAccessMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database(env.secret("DATABASE_URL"), DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
HUEY = queue(env.secret("QUEUE_URL"), DATA_DIR)

AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "batchops.accounts.passwords.GuessableValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
OIDC_ISSUER = env.issuer("OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.secret("OIDC_CLIENT_SECRET")
OIDC_SCOPES = env.text("OIDC_SCOPES", "openid profile email").split()
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
OIDC_GROUPS = env.pairs("OIDC_GROUPS")
OIDC_LABEL = env.text("OIDC_LABEL", "single sign-on")
OIDC_HELP = env.text("OIDC_HELP", "Ask whoever runs batchops.")
if OIDC_ISSUER and not (OIDC_CLIENT_ID and OIDC_GROUPS and "openid" in OIDC_SCOPES):
    raise ImproperlyConfigured(
        "OIDC_ISSUER is set, so OIDC_CLIENT_ID and OIDC_GROUPS must be, too, and OIDC_SCOPES must "
        "name openid."
    )
MFA_REQUIRED_FOR = env.words("MFA_REQUIRED_FOR") or ["nobody" if DEMO else "changers"]
REAUTH_MINUTES = env.whole("REAUTH_MINUTES", 10, 1, 1440)
REAUTH_ABOVE = env.whole("REAUTH_ABOVE", 100, 0, 10_000_000)
SESSION_ENGINE = "batchops.accounts.session_store"
SESSION_IDLE_MINUTES = env.whole("SESSION_IDLE_MINUTES", 30, 5, 1440)
SESSION_COOKIE_AGE = env.whole("SESSION_HOURS", 12, 1, 720) * 3600

LANGUAGE_CODE = "en-gb"
TIME_ZONE = env.zone("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True
DATETIME_FORMAT = "j M Y H:i"

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", BASE_DIR / "staticfiles")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"

vars().update(mail_server(env.secret("EMAIL_URL")))
DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", "batchops@localhost")

# Security -----------------------------------------------------------------------------------

HTTPS_ONLY = env.switch("HTTPS_ONLY", not DEMO)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
# With this prefix a browser takes the cookie from no other host and over TLS alone.
_PREFIX = "__Host-" if HTTPS_ONLY else ""
SESSION_COOKIE_NAME = f"{_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{_PREFIX}csrftoken"
DEVICE_COOKIE_NAME = f"{_PREFIX}known_device"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.switch("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.switch("HSTS_PRELOAD", False)
if SECURE_HSTS_PRELOAD and not SECURE_HSTS_INCLUDE_SUBDOMAINS:
    raise ImproperlyConfigured(
        "HSTS_PRELOAD is on, but browsers preload a domain only with its subdomains: "
        "set HSTS_INCLUDE_SUBDOMAINS=on too, or HSTS_PRELOAD=off."
    )
# Both bind other sites of the domain, so they are a decision and not an omission.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
# ProxyMiddleware takes this header from everybody but the trusted proxies.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "batchops.admin.ui.problems.csrf_failure"
DEFAULT_EXCEPTION_REPORTER = "batchops.web.error_reports.KeyHidingReporter"
FILE_UPLOAD_HANDLERS = ["batchops.web.uploads.NoFiles"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 2**20
"""Bytes; 100,000 pasted batch ids fit."""

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

# Logs ---------------------------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", "plain", ("plain", "json"))
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = logging_settings(LOG_FORMAT, LOG_LEVEL)
