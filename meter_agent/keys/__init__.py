"""The key of the box: in a file, in a TPM, or held by another process."""

import logging

from evidence.keys import Signer
from meter_agent.keys.base import AwaitedKey, HeldKey, Keys, Place
from meter_agent.keys.errors import KeyFault, KeyFileError, KeyRefused, KeyUnavailable
from meter_agent.keys.files import read_private_file
from meter_agent.keys.remote import RemoteKeys
from meter_agent.keys.ring import KeyRing
from meter_agent.keys.settings import FileKey, KeySettings, ProcessKey, read_key_settings, take_key
from meter_agent.keys.software import Software

log = logging.getLogger(__name__)

__all__ = [
    "FileKey",
    "KeyFault",
    "KeyFileError",
    "KeyRefused",
    "KeySettings",
    "KeyUnavailable",
    "Keys",
    "Place",
    "await_key",
    "open_key",
    "open_keys",
    "read_key_settings",
    "read_private_file",
    "take_key",
]


def open_keys(settings: KeySettings) -> Keys:
    """All keys of the box and what is done with them."""
    if isinstance(settings, ProcessKey):
        return RemoteKeys(settings.socket)
    if isinstance(settings, FileKey):
        return KeyRing(settings.file, Software(settings.algorithm))
    # The TPM's software stack is loaded only where there is a TPM.
    from meter_agent.keys.tpm import Tpm

    return KeyRing(settings.file, Tpm(settings.tcti, settings.ek_certificate))


def open_key(settings: KeySettings, place: Place = Place.CURRENT) -> Signer:
    """The key that signs now, or the one before or after it. Raises `KeyFault`."""
    keys = open_keys(settings)
    held = keys.held()
    if place in held.faults:
        raise KeyFileError(held.faults[place])
    if place not in held.keys:
        raise KeyFileError(
            f"there is no {place} key: `meter-agent key --config ...` makes the first and prints its public part"
        )
    return HeldKey(keys, held.keys[place])


def await_key(settings: KeySettings) -> Signer:
    """The key that signs now. One of a process that does not answer is opened when it is first used.

    Raises `KeyFault`.
    """
    try:
        return open_key(settings)
    except KeyUnavailable as error:
        log.error("what is read waits to be signed: %s", error)
        return AwaitedKey(lambda: open_key(settings))
