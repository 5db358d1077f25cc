"""Turns addresses of servers into what Django and Celery want, and keeps the installation's own key."""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


def django_database(url: str) -> dict[str, Any]:
    """Entry for DATABASES from a libpq connection URL. Raises ImproperlyConfigured."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ImproperlyConfigured("DATABASE_URL: must start with postgresql://")
    try:
        options = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
    except ProgrammingError:
        # libpq's own message may quote the password.
        raise ImproperlyConfigured("DATABASE_URL: is no connection URL as PostgreSQL writes them") from None
    if "dbname" not in options:
        raise ImproperlyConfigured("DATABASE_URL: names no database")
    if not options.get("port", "0").isdigit():
        raise ImproperlyConfigured("DATABASE_URL: the port is no number")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": options.pop("dbname"),
        "USER": options.pop("user", ""),
        "PASSWORD": options.pop("password", ""),
        "HOST": options.pop("host", ""),
        "PORT": options.pop("port", ""),
        "OPTIONS": options,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def broker_url(redis_url: str) -> str:
    """Celery's spelling of a Redis URL. Raises ImproperlyConfigured."""
    parts = urlsplit(redis_url)
    if parts.scheme in {"redis", "rediss"}:
        return redis_url
    if parts.scheme != "unix" or not parts.path:
        raise ImproperlyConfigured("REDIS_URL: must start with redis://, rediss:// or unix://")
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


def installation_key(data_dir: Path, name: str = "secret-key") -> str:
    """Random secret key of this installation, made at the first start and kept in the data folder."""
    path = data_dir / name
    try:
        if not path.exists():
            data_dir.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{name}-{os.getpid()}-{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
            try:
                # link, not rename: of two processes that start at once, the first one's key stays.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ImproperlyConfigured(
            f"ENERGYMARKET_{name.replace('-', '_').upper()}: not set, and {path} cannot be used: {error.strerror}"
        ) from error
