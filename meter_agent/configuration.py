"""What the utility told a box about its work: a signed instruction CONFIGURE, kept as a file beside the journal.

Its body has the keys of the agent's settings, and besides them `trusted`: the keys of the utility, each as a table with
algorithm, x and y (64 hex). Nothing here says what the box itself is: key, journal and buses stay with the local file.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evidence.abi import EncodingError
from evidence.box_forms import Signed, read_signed
from evidence.boxes import Instruction, InstructionKind, body_hash
from evidence.canonical import check_depth
from evidence.keys import BadKey, PublicKey
from meter_agent.durable import replace_file

NAME = "configuration.json"
MOST_BYTES = 1_000_000
Configuration: TypeAlias = Signed[Instruction]


class ConfigurationError(Exception):
    """A signed configuration that this box must not take, with the reason."""


def settings_of(configuration: Configuration) -> dict[str, Any]:
    """The members of the body. Raises `ConfigurationError`."""
    try:
        text = configuration.body.decode()
        check_depth(text)
        settings = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"the body is no JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigurationError("the body is no table of settings")
    return settings


def trusted_keys(settings: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """The utility's keys, of which one signs the next instruction. Raises `ConfigurationError`."""
    value = settings.get("trusted")
    if not isinstance(value, list) or not value:
        raise ConfigurationError("trusted: a list of keys is expected")
    keys = []
    for item in value:
        try:
            key = PublicKey(int(item["algorithm"]), bytes.fromhex(item["x"]), bytes.fromhex(item["y"]))
            key.check_point()
        except (BadKey, EncodingError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"trusted: {error} is wrong with a key") from None
        keys.append(key)
    return tuple(keys)


def configuration_path(journal: Path) -> Path:
    return journal.with_name(NAME)


def read_stored(path: Path) -> Configuration | None:
    """The configuration that was stored last, None before the first. Raises `ConfigurationError`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return read_signed(Instruction, "instruction", json.loads(content))
    except ValueError as error:
        raise ConfigurationError(f"{path} is damaged: {error}") from None


def store_configuration(
    path: Path,
    configuration: Configuration,
    accept: Callable[[dict[str, Any]], object],
    *,
    first_trusted: Sequence[PublicKey] = (),
) -> None:
    """Put a configuration in the place of the one stored before; storing the same one again changes nothing.

    One of the keys that the stored configuration trusts signed it; `first_trusted` are those that sign the first.
    `accept` raises `ConfigError` for settings that the agent could not start with. Raises `ConfigurationError`.
    """
    stored = read_stored(path)
    if stored and stored.said == configuration.said:
        return
    check_configuration(configuration, stored, trusted_keys(settings_of(stored)) if stored else first_trusted)
    accept(settings_of(configuration))
    _replace(path, json.dumps(configuration.as_json("instruction"), indent=2).encode())


def check_configuration(
    configuration: Configuration, stored: Configuration | None, trusted: Sequence[PublicKey]
) -> None:
    """Everything but the settings themselves. Raises `ConfigurationError`."""
    instruction, settings = configuration.said, settings_of(configuration)
    if instruction.kind != InstructionKind.CONFIGURE:
        raise ConfigurationError(f"the instruction is of kind {instruction.kind}, not a configuration")
    if len(configuration.body) > MOST_BYTES or body_hash(configuration.body) != instruction.body:
        raise ConfigurationError("the body is not the one that was signed")
    issuer = next((key for key in trusted if key.id == instruction.issuer), None)
    if issuer is None or not issuer.verifies(instruction.digest, configuration.signature):
        raise ConfigurationError("no key that this box trusts signed it")
    if settings.get("device") != instruction.device.hex():
        raise ConfigurationError("the settings are another device's")
    if stored is not None and instruction.device != stored.said.device:
        raise ConfigurationError("it is for another device")
    if stored is not None and instruction.sequence <= stored.said.sequence:
        raise ConfigurationError(f"its sequence {instruction.sequence} is not above {stored.said.sequence}")
    # The next configuration must be possible.
    trusted_keys(settings)


def _replace(path: Path, content: bytes) -> None:
    """For its owner only. Raises `ConfigurationError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
