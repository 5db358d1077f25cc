"""What an update offers: a version, signed by the release key, and where its archive lies.

    {"version": "1.4.2", "url": "https://...", "size": 8123456, "sha256": "<64 hex>", "signature": "<base64url>"}

The archive is a tar.gz of a folder of packages, as `pip install --target` fills it.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from evidence.boxes import Release
from evidence.canonical import decode_bytes
from evidence.keys import PublicKey
from meter_agent.channel.orders import Order, Refusal
from meter_agent.tables import ConfigError, Table, bytes32, integer, text

Version = tuple[int, int, int]
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


def read_version(value: object) -> Version:
    """Raises `ValueError`."""
    found = _VERSION.fullmatch(text(value))
    if found is None:
        raise ValueError("must be a version such as 1.4.2")
    major, minor, patch = (int(part) for part in found.groups())
    return major, minor, patch


def version_text(version: Version) -> str:
    return ".".join(map(str, version))


@dataclass(frozen=True, slots=True)
class Offer:
    version: Version
    url: str
    size: int
    archive: bytes
    signature: bytes

    @property
    def name(self) -> str:
        return version_text(self.version)

    @property
    def release(self) -> Release:
        return Release(*self.version, self.size, self.archive)


def read_offer(order: Order, key: PublicKey, largest: int) -> Offer:
    """Raises `Refusal` for what is no offer, too large, or not signed by the release key."""
    try:
        table = Table(order.body, "")
        offer = Offer(
            version=table.take("version", read_version),
            url=table.take("url", _https),
            size=table.take("size", integer(1, 2**40)),
            archive=table.take("sha256", bytes32),
            signature=table.take("signature", decode_bytes),
        )
        table.finish()
    except ConfigError as error:
        raise Refusal("format", message=str(error)) from None
    if not key.verifies(offer.release.digest, offer.signature):
        raise Refusal("signature")
    if offer.size > largest:
        raise Refusal("too_large", size=offer.size, largest=largest)
    return offer


def _https(value: object) -> str:
    parts = urlsplit(text(value))
    if parts.scheme != "https" or not parts.hostname or parts.fragment:
        raise ValueError("must be an address with https")
    return text(value)
