"""Several nodes of one chain behind one web3 provider: the first that answers, answers."""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError
from web3 import HTTPProvider
from web3.exceptions import Web3RPCError
from web3.providers import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from ledger_adapters.exceptions import Misconfigured, OutcomeUnknown, Transient

# What OpenSSL says, by its version, to an answer in the clear.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
_DESCRIPTION = re.compile(r'error_description="([^"]*)"')
_NO_URL = (requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL)


@dataclass(frozen=True, slots=True)
class Access:
    """How nodes are reached: seconds for an answer, the certificates that sign theirs, a file with a bearer token."""

    timeout: float = 20.0
    ca: Path | None = None
    token: Path | None = None


class _BearerToken(requests.auth.AuthBase):
    """Read anew for each request, so that whoever renews the token only has to replace the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            raise Misconfigured(f"TOKEN_FILE: {error}") from error
        if not token or any(character.isspace() for character in token):
            raise Misconfigured(f"TOKEN_FILE: {self._path} does not hold one token")
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class Nodes(JSONBaseProvider):
    """Asks the node that answered last, then the others. Instances are shared by threads."""

    def __init__(self, urls: Sequence[str], access: Access) -> None:
        super().__init__()
        self._providers = [_provider(url, access) for url in urls]
        self._preferred = 0
        self._moving = threading.Lock()

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Raises `Transient` when no node answered, `OutcomeUnknown` when one may have taken a transaction then."""
        start = self._preferred
        delivered: Exception | None = None
        failures = []
        for offset in range(len(self._providers)):
            number = (start + offset) % len(self._providers)
            try:
                response = self._providers[number].make_request(method, params)
            except (requests.RequestException, ValueError) as error:
                _refuse_bad_settings(error)
                if not _never_sent(error):
                    delivered = error
                failures.append(f"{self._providers[number].endpoint_uri}: {error}")
                continue
            with self._moving:
                self._preferred = number
            return response
        message = "; ".join(failures)
        if delivered is not None and method == "eth_sendRawTransaction":
            raise OutcomeUnknown(message) from delivered
        raise Transient(message)


def answer_of(error: Web3RPCError) -> str:
    """What the node answered, in its own words."""
    answer = error.rpc_response
    return str(answer["error"]["message"]) if answer else str(error.message)


def _provider(url: str, access: Access) -> HTTPProvider:
    session = requests.Session()
    session.trust_env = False
    session.mount("http", HTTPAdapter(pool_connections=16, pool_maxsize=16))
    if access.ca is not None:
        if not access.ca.exists():
            raise Misconfigured(f"CA: there is no file {access.ca}")
        session.verify = str(access.ca)
    if access.token is not None:
        session.auth = _BearerToken(access.token)
    # Without web3's own retries: what was not answered is asked for by its hash, never just sent again.
    return HTTPProvider(
        url, request_kwargs={"timeout": access.timeout}, session=session, exception_retry_configuration=None
    )


def _never_sent(error: Exception) -> bool:
    """Whether the connection itself failed."""
    reason = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    cause = reason.reason if isinstance(reason, MaxRetryError) else reason
    return isinstance(cause, NewConnectionError | ConnectTimeoutError)


def _refuse_bad_settings(error: Exception) -> None:
    if isinstance(error, _NO_URL):
        raise Misconfigured(f"RPC: {error}") from error
    if isinstance(error, requests.exceptions.SSLError):
        raise Misconfigured(_why_no_tls(str(error))) from error
    if isinstance(error, requests.HTTPError) and error.response is not None:
        if error.response.status_code in (401, 403):
            raise Misconfigured(_why_no_entry(error.response)) from error


def _why_no_tls(said: str) -> str:
    if any(text in said for text in _NO_TLS):
        return f"RPC: the node does not speak TLS: {said}"
    if "is not valid for" in said:
        return f"RPC: the node's certificate is of another name: {said}"
    return f"CA: the node's certificate is not one of those trusted: {said}"


def _why_no_entry(response: requests.Response) -> str:
    """With the reason that the node gives in the header of RFC 6750."""
    if "Authorization" not in response.request.headers:
        return f"TOKEN_FILE: the node asks for a token ({response.status_code})"
    reason = _DESCRIPTION.search(response.headers.get("WWW-Authenticate", ""))
    given = f": {reason[1]}" if reason else ""
    return f"TOKEN_FILE: the node refuses the token ({response.status_code}){given}"
