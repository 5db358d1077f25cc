"""Call an organisation's program over HTTPS: signed, in bounded time, never an address inside our own network."""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

import httpx
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.notifications.exceptions import DeliveryError

SIGNATURE = "Energymarket-Signature"
SECONDS = 10
# Through which an IPv6 address can reach an IPv4 network.
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_url(url: str) -> SplitResult:
    """Raises `ValidationError` unless it is HTTPS without user name and password; HTTP to this machine, if allowed."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        raise ValidationError(_("This is no address.")) from None
    on_loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    plain = parts.scheme == "http" and on_loopback and settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    if not parts.hostname or parts.username or parts.password or not (parts.scheme == "https" or plain):
        raise ValidationError(_("An address that begins with https:// is expected, without user name and password."))
    return parts


def signature_of(secret: bytes, at: int, body: bytes) -> str:
    """What the header carries: the instant in UTC seconds, and HMAC-SHA-256 over "<instant>.<body>" in hex."""
    return f"t={at},v1={hmac.new(secret, b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def call(url: str, secret: bytes, body: bytes) -> None:
    """POST the body. Raises `DeliveryError` unless the answer is a 2xx within the time."""
    try:
        parts = check_url(url)
    except ValidationError as error:
        raise DeliveryError(error.messages[0]) from None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _resolve(parts.hostname or "", port)
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "energymarket-webhook",
        SIGNATURE: signature_of(secret, int(timezone.now().timestamp()), body),
    }
    try:
        status = asyncio.run(_post(_at(parts, address, port), parts.hostname or "", headers, body))
    except TimeoutError:
        raise DeliveryError(f"no answer within {SECONDS} seconds") from None
    except httpx.HTTPError as error:
        raise DeliveryError(f"{type(error).__name__}: {error}") from None
    if not 200 <= status < 300:
        raise DeliveryError(f"answered {status}")


def _resolve(host: str, port: int) -> Address:
    """The address that is called: no name is looked up after it was checked. Raises `DeliveryError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise DeliveryError("the name cannot be resolved") from None
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    if not settings.WEBHOOKS_TO_PRIVATE_ADDRESSES and not all(map(is_public, addresses)):
        raise DeliveryError("the name leads to an address that is not public")
    return addresses[0]


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def _at(parts: SplitResult, address: Address, port: int) -> str:
    host = f"[{address}]" if address.version == 6 else str(address)
    return parts._replace(netloc=f"{host}:{port}", fragment="").geturl()


async def _post(url: str, name: str, headers: dict[str, str], body: bytes) -> int:
    """The status alone: what else is answered is not read. The certificate has to be that of `name`."""
    async with asyncio.timeout(SECONDS):
        async with httpx.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
            extensions = {"sni_hostname": name}
            async with client.stream("POST", url, headers=headers, content=body, extensions=extensions) as answer:
                return answer.status_code
