"""Django's settings, the same for every installation; what differs comes from the environment."""

from typing import Any

import django_stubs_ext
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from energymarket.settings.environment import PROJECT_DIR, read_environment
from energymarket.settings.ledgers import ledger_settings
from energymarket.settings.logs import logging_config
from energymarket.settings.servers import broker_url, django_database, installation_key
from energymarket.supervisor.places import Places

BASE_DIR = PROJECT_DIR

# Lets ModelAdmin[User] and the like, which the type checker wants, also run.
django_stubs_ext.monkeypatch()

try:
    ENVIRONMENT = read_environment()
    DATA_DIR = ENVIRONMENT.data_dir
    places = Places(DATA_DIR)
    database_url = ENVIRONMENT.database_url
    redis_url = ENVIRONMENT.redis_url
    secret_key = ENVIRONMENT.secret_key
    DATABASE_URL: str = database_url.get_secret_value() if database_url else places.database_url
    REDIS_URL: str = redis_url.get_secret_value() if redis_url else places.redis_url
    DATABASES = {"default": django_database(DATABASE_URL)}
    CELERY_BROKER_URL = broker_url(REDIS_URL)
    SECRET_KEY = secret_key.get_secret_value() if secret_key else installation_key(DATA_DIR)
    CUSTODY_KEY = (
        ENVIRONMENT.custody_key.get_secret_value()
        if ENVIRONMENT.custody_key
        else installation_key(DATA_DIR, "custody-key")
    )
except ImproperlyConfigured as error:
    # One line instead of a traceback, whichever program reads the settings.
    raise SystemExit(f"energymarket: {error}") from None

DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = list(ENVIRONMENT.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(ENVIRONMENT.csrf_trusted_origins)
SAMPLE_DATA = ENVIRONMENT.sample_data

INSTALLED_APPS = [
    "apps.web",
    "apps.ledger",
    "apps.accounts",
    "apps.notifications",
    "apps.assets",
    "apps.metering",
    "apps.accounting",
    "apps.tariffs",
    "apps.supply",
    "apps.offers",
    "apps.settlement",
    "apps.billing",
    "apps.portal",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_structlog",
    "rest_framework",
    "drf_spectacular",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "energymarket.urls"
WSGI_APPLICATION = "energymarket.wsgi.application"
ASGI_APPLICATION = "energymarket.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.web.context_processors.page",
            ],
        },
    },
]

# In the database, not in Redis: Redis may be emptied or away at any time, and allauth's rate limits live here.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "web_cache"},
}

# Who makes the TPMs that boxes may keep their keys in.
TPM_AUTHORITIES = ENVIRONMENT.tpm_authorities

# Ledgers by name, as CACHES does for caches. What is in OPTIONS_FILE comes on top of OPTIONS.
LEDGER = ENVIRONMENT.ledger
LEDGER_KEYS = DATA_DIR / "keys" / "default"
LEDGER_OPTIONS = ENVIRONMENT.ledger_options or DATA_DIR / "ledger" / "options.json"
LEDGERS: dict[str, dict[str, Any]] = {
    "default": ledger_settings("default", LEDGER, DATA_DIR, DATABASE_URL, LEDGER_OPTIONS),
    **{
        alias: ledger_settings(alias, kind, DATA_DIR, DATABASE_URL, DATA_DIR / "ledger" / f"{alias}.json")
        for alias, kind in ENVIRONMENT.more_ledgers.items()
    },
}

# --- people -----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
# E-mail addresses are unique by a constraint on their lower-case form, which this check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = ENVIRONMENT.email_verification
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"

EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if ENVIRONMENT.email_host
    else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_HOST = ENVIRONMENT.email_host or "localhost"
EMAIL_PORT = ENVIRONMENT.email_port
EMAIL_HOST_USER = ENVIRONMENT.email_user
EMAIL_HOST_PASSWORD = ENVIRONMENT.email_password.get_secret_value()
EMAIL_USE_TLS = True
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENVIRONMENT.email_from
# Where links in mail lead; without it there are none.
SITE_URL = ENVIRONMENT.site_url.rstrip("/")
WEBHOOKS_TO_PRIVATE_ADDRESSES = ENVIRONMENT.webhooks_to_private_addresses

# --- language and time ------------------------------------------------------------------------------------------------

LANGUAGE_CODE = ENVIRONMENT.language
LANGUAGES = [("en", _("English")), ("de", _("German")), ("es", _("Spanish"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- files ------------------------------------------------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "files"},
    },
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if not DEBUG
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- security ---------------------------------------------------------------------------------------------------------

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
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

HTTPS = ENVIRONMENT.https and not DEBUG
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Asked from inside, by plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENVIRONMENT.behind_proxy else None
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"

# --- devices ----------------------------------------------------------------------------------------------------------

# Each that waits takes one of the threads of `energymarket.gunicorn`, and no connection to the database.
BOXES_WAITING = ENVIRONMENT.boxes_waiting

# --- live values ------------------------------------------------------------------------------------------------------

# Each stream takes one of the threads of `energymarket.gunicorn`, and no connection to the database. Browsers open six
# connections to a site at most, and pages need some of them.
LIVE_STREAMS = ENVIRONMENT.live_streams
LIVE_STREAMS_OF_A_PERSON = 4

# --- API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "apps.web.problems.problem_response",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Energy market API",
    "DESCRIPTION": "Readings, offers, settlement and invoices of a local energy market.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
}

# --- background work: Celery only wakes the workers up; what there is to do stands in the database --------------------

CELERY_TIMEZONE = "UTC"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 1,
    "socket_connect_timeout": 1,
    "visibility_timeout": 3600,
    # kombu retries a broken connection inside the transport unless told not to.
    "max_retries": 0,
}
# So many tasks before Celery closes the database's connections itself: `energymarket.celery` looks after them.
CELERY_DB_REUSE_MAX = 1_000_000_000
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A tick that no worker took in time is as good as the next one; seconds.
CELERY_BEAT_SCHEDULE = {
    "ledger.sweep": {"task": "ledger.sweep", "schedule": 2.0, "options": {"expires": 10}},
    "ledger.expiries": {"task": "ledger.expiries", "schedule": crontab(hour="6", minute="15")},
    "notifications.send": {"task": "notifications.send", "schedule": 20.0, "options": {"expires": 20}},
    "metering.anchor": {"task": "metering.anchor", "schedule": 60.0, "options": {"expires": 60}},
    "metering.count": {"task": "metering.count", "schedule": 900.0, "options": {"expires": 900}},
    "metering.imports": {"task": "metering.imports", "schedule": 10.0, "options": {"expires": 10}},
    "metering.watch": {"task": "metering.watch", "schedule": 300.0, "options": {"expires": 300}},
    "metering.watch_values": {"task": "metering.watch_values", "schedule": crontab(hour="*/6", minute="45")},
    "offers.daily": {"task": "offers.daily", "schedule": crontab(hour="4", minute="15")},
    "settlement.daily": {"task": "settlement.daily", "schedule": crontab(hour="5", minute="15")},
}

# --- logs -------------------------------------------------------------------------------------------------------------

DJANGO_STRUCTLOG_CELERY_ENABLED = True
LOGGING = logging_config(level=ENVIRONMENT.log_level, as_json=not DEBUG)
