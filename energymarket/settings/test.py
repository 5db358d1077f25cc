"""Settings for the tests: plain HTTP, quick password hashes, mail kept in memory."""

from energymarket.settings.base import *  # noqa: F403
from energymarket.settings.base import STORAGES

HTTPS = False
SESSION_COOKIE_SECURE = False
CSRF_COOKIE_SECURE = False
SECURE_SSL_REDIRECT = False
SECURE_HSTS_SECONDS = 0
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# Without collectstatic there is no manifest and no folder; files are found where they were written.
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True

LEDGERS = {
    "default": {
        "BACKEND": "ledger_adapters.embedded.adapter.EmbeddedLedger",
        "OPTIONS": {"STORE": "memory"},
    },
}
