"""Tables of settings that know their names, so that errors can say which key is wrong, and the forms of values."""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

T = TypeVar("T")
_HEX_32_BYTES = re.compile(r"[0-9a-fA-F]{64}")


class ConfigError(Exception):
    """A setting is missing or wrong; the message starts with its name."""


class Table:
    """A TOML table that knows its name, so that errors can say which key is wrong."""

    def __init__(self, values: object, name: str) -> None:
        if not isinstance(values, dict):
            raise ConfigError(f"{name}: must be a table")
        self._values: dict[str, Any] = dict(values)
        self.name = name

    def key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None) -> T:
        """The value under `key`, brought into form by `read`, which raises ValueError with what it should be."""
        if key not in self._values:
            if default is None:
                raise ConfigError(f"{self.key(key)}: is missing")
            return default
        try:
            return read(self._values.pop(key))
        except ValueError as error:
            raise ConfigError(f"{self.key(key)}: {error}") from None

    def tables(self, key: str) -> list["Table"]:
        """The tables of an array, at least one."""
        values = self._values.pop(key, None)
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{self.key(key)}: must be given, as one or more [[{key}]]")
        return [Table(value, f"{self.key(key)}[{index}]") for index, value in enumerate(values)]

    def drop(self, *keys: str) -> None:
        """What somebody else reads."""
        for key in keys:
            self._values.pop(key, None)

    def table(self, key: str) -> "Table":
        return Table(self._values.pop(key), self.key(key))

    def lay_over(self, settings: Mapping[str, Any], local: Collection[str]) -> None:
        """Signed settings count before those of the file; what is `local` they cannot say."""
        for key in settings:
            if key in local:
                raise ConfigError(f"{key}: is for the box to say, not for a signed configuration")
        if "destinations" in settings:
            self._values.pop("server", None)
        elif "server" in settings:
            self._values.pop("destinations", None)
        self._values |= {key: value for key, value in settings.items() if key != "trusted"}

    def finish(self) -> None:
        for key in self._values:
            raise ConfigError(f"{self.key(key)}: is not a setting")


def text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    return value


def integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def bytes32(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX_32_BYTES.fullmatch(value):
        raise ValueError("must be 64 hexadecimal digits")
    return bytes.fromhex(value)


def zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(text(value))
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"{value!r} is not a known time zone such as Europe/Berlin") from None


def base_url(value: object) -> str:
    parts = urlsplit(text(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://market.example")
    return text(value).rstrip("/")


def read_toml(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            return Table(tomllib.load(file), "")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def path_from(folder: Path) -> Callable[[object], Path]:
    return lambda value: folder / text(value)
