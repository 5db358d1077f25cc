"""Where the box has its key.

    [key]
    kind = "file"                     # the agent signs itself, as with key_file = "key/device.pem"
    file = "key/device.pem"
    algorithm = "P-256"               # or "secp256k1"

    [key]
    kind = "tpm"                      # the key is of use in this TPM only; the file holds it wrapped
    file = "key/device.tpm"
    tcti = "device:/dev/tpmrm0"       # how the TPM is reached
    ek_certificate = "ek.der"         # where the TPM itself holds none

    [key]
    kind = "process"                  # another process signs: `meter-agent keys`
    socket = "/run/meter-agent-keys/socket"

That process has a file of its own, with `kind = "file"` or `kind = "tpm"`:

    socket = "/run/meter-agent-keys/socket"
    users = ["meter-agent"]           # who may ask besides the user it runs as

    [key]
    kind = "file"
    file = "/var/lib/meter-agent-keys/device.pem"
"""

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from evidence.keys import Algorithm
from meter_agent.tables import ConfigError, Table, path_from, read_toml, text

T = TypeVar("T")
ALGORITHMS = {"P-256": Algorithm.P256, "secp256k1": Algorithm.SECP256K1}


@dataclass(frozen=True, slots=True)
class FileKey:
    file: Path
    algorithm: Algorithm = Algorithm.P256


@dataclass(frozen=True, slots=True)
class TpmKey:
    """`ek_certificate`: a file that holds it (DER), None when the TPM does."""

    file: Path
    tcti: str = "device:/dev/tpmrm0"
    ek_certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class ProcessKey:
    socket: Path


KeySettings = FileKey | TpmKey | ProcessKey


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Of the key process itself. `users` are the user ids that may ask it."""

    socket: Path
    key: FileKey | TpmKey
    users: frozenset[int]


def take_key(table: Table, folder: Path) -> KeySettings:
    """The key's settings out of the agent's. Raises `ConfigError`."""
    if ("key_file" in table) == ("key" in table):
        raise ConfigError(f"{table.key('key_file')}: either it or [key] must be given")
    if "key_file" in table:
        return FileKey(table.take("key_file", path_from(folder)))
    return _key(table.table("key"), folder)


def _key(table: Table, folder: Path) -> KeySettings:
    kind = table.take("kind", _one_of({"file": FileKey, "tpm": TpmKey, "process": ProcessKey}))
    key: KeySettings
    if kind is ProcessKey:
        key = ProcessKey(table.take("socket", path_from(folder)))
    elif kind is TpmKey:
        key = TpmKey(
            table.take("file", path_from(folder)),
            table.take("tcti", text, "device:/dev/tpmrm0"),
            table.take("ek_certificate", path_from(folder)) if "ek_certificate" in table else None,
        )
    else:
        key = FileKey(
            table.take("file", path_from(folder)), table.take("algorithm", _one_of(ALGORITHMS), Algorithm.P256)
        )
    table.finish()
    return key


def _one_of(values: Mapping[str, T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if not isinstance(value, str) or value not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return values[value]

    return read


def read_key_settings(path: Path) -> KeySettings:
    """Only the key's: a device has a key before it is enrolled and knows the rest. Raises `ConfigError`."""
    return take_key(read_toml(path), path.parent)


def read_process_settings(path: Path) -> ProcessSettings:
    """Raises `ConfigError`."""
    table = read_toml(path)
    key = take_key(table, path.parent)
    if isinstance(key, ProcessKey):
        raise ConfigError("key.kind: must be file or tpm: this is the process that others ask")
    others = table.take("users", _users, frozenset[int]())
    settings = ProcessSettings(table.take("socket", path_from(path.parent)), key, others | {os.getuid()})
    table.finish()
    return settings


def _users(value: object) -> frozenset[int]:
    if not isinstance(value, list):
        raise ValueError("must be a list of names")
    try:
        return frozenset(pwd.getpwnam(text(name)).pw_uid for name in value)
    except KeyError as error:
        raise ValueError(f"must be users of this machine: {error.args[0]}") from None
