"""What an installation can be told, read from environment variables.

Every variable is named ``ENERGYMARKET_<FIELD>``, except ``DATABASE_URL`` and ``REDIS_URL``. A secret ``X`` (every
field of type SecretStr) may also stand in a file named by ``X_FILE``; giving both is refused.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from django.core.exceptions import ImproperlyConfigured
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "ENERGYMARKET_"
PROJECT_DIR = Path(__file__).resolve().parents[2]


def _split(value: Any) -> Any:
    """Turn "a, b" into ("a", "b")."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
LedgerKind = Literal["embedded", "quorum", "fabric"]


def _by_name(value: Any) -> Any:
    """Turn "a:quorum, b:fabric" into a dictionary."""
    if isinstance(value, str):
        return dict(part.split(":", 1) if ":" in part else (part, "") for part in _split(value))
    return value


class Environment(BaseSettings):
    """The settings of one installation. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    debug: bool = False
    https: bool = True  # pages are only reached by HTTPS: secure cookies, redirects, HSTS
    behind_proxy: bool = False  # a proxy of ours sets X-Forwarded-Proto and -For; otherwise they are not believed
    secret_key: SecretStr | None = None  # without it: a random key of this installation, kept in data_dir
    allowed_hosts: Names = ("localhost", "127.0.0.1", "[::1]")
    csrf_trusted_origins: Names = ()
    custody_key: SecretStr | None = None  # seals the signing keys kept for customers; without it: as secret_key
    data_dir: Path = PROJECT_DIR / "var"
    tpm_authorities: Path | None = None  # certificates (PEM) of the makers of TPMs whose keys are believed

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: SecretStr | None = Field(default=None, validation_alias="REDIS_URL")

    ledger: LedgerKind = "embedded"
    ledger_options: Path | None = None  # a JSON file with the OPTIONS of a Quorum or Fabric ledger
    # further ledgers as "NAME:KIND, NAME:KIND"; the OPTIONS of each are in data_dir/ledger/NAME.json
    more_ledgers: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], LedgerKind], NoDecode, BeforeValidator(_by_name)
    ] = Field(default_factory=dict)

    # So many boxes may hold a request of their channel open in each web process; the others ask again later.
    boxes_waiting: int = Field(default=12, ge=0, le=2000)

    # So many pages may have live values sent to them by each web process; the others show what they opened with.
    live_streams: int = Field(default=24, ge=0, le=2000)

    language: Literal["en", "de", "es"] = "en"
    email_verification: Literal["mandatory", "optional", "none"] = "mandatory"
    email_host: str | None = None  # without it, mail is printed to standard output
    email_port: int = Field(default=587, gt=0, lt=65536)
    email_user: str = ""
    email_password: SecretStr = SecretStr("")
    email_from: str = "energymarket@localhost"
    site_url: str = ""  # such as https://market.example: where links in mail lead; without it mail has none
    webhooks_to_private_addresses: bool = False  # also plain HTTP on this machine; for tests and closed networks

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    sample_data: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, SecretFiles(settings_cls))


class SecretFiles(PydanticBaseSettingsSource):
    """Reads secrets from the files named by ``X_FILE``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return read_secret_file(variable_name(field_name), os.environ), field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            if not is_secret(field):
                continue
            value, _, _ = self.get_field_value(field, name)
            if value is not None:
                found[str(field.validation_alias or name)] = value
        return found


def is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def variable_name(field_name: str) -> str:
    """Name of the environment variable behind a field."""
    alias = Environment.model_fields[field_name].validation_alias
    return str(alias) if alias else PREFIX + field_name.upper()


def read_secret_file(variable: str, environ: Mapping[str, str]) -> str | None:
    """Content of the file named by ``<variable>_FILE``, without the final line break; None when it is not set.

    Raises ImproperlyConfigured when the file cannot be read or the variable is set as well.
    """
    path = environ.get(f"{variable}_FILE")
    if not path:
        return None
    if environ.get(variable):
        raise ImproperlyConfigured(f"{variable} and {variable}_FILE are both set; set only one of them")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ImproperlyConfigured(f"{variable}_FILE: cannot read {path}: {reason}") from error


def read_environment() -> Environment:
    """Read and check all variables. Raises ImproperlyConfigured with one line that names the first wrong one."""
    try:
        return Environment()
    except ValidationError as error:
        # Input is left out: the wrong value may be a secret.
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        variable = variable_name(name) if name in Environment.model_fields else name
        raise ImproperlyConfigured(f"{variable}: {first['msg']}") from None
