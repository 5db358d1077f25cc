"""Fabric CA through hfc: a program for the Python of requirements/hfc.txt, which our own never imports.

It reads a line of JSON from standard input and writes lines of JSON to standard output.

    in   {"url", "tls_ca", "name", "timeout": seconds, "call", "arguments": {...}, "certificate": PEM of who asks or ""}
    out  {"sign": hex}            any number of times: what is the signature over this SHA-256 digest?
    in   {"signature": hex}       DER, by the key of who asks; private keys never come here
    out  {"result": ...}          or
         {"refused": {"status": 401, "errors": [{"code": 20, "message": "Authentication failure"}]}}  or
         {"untrusted": text}      the authority's TLS certificate is not one that tls_ca signed  or
         {"unreachable": text}
"""

import base64
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import requests
from cryptography import x509
from hfc.fabric_ca.caservice import CAClient, CAService, Enrollment
from hfc.util.crypto.crypto import Ecies


class Refused(Exception):
    """The authority's answer is no. `errors`: its codes and messages."""

    def __init__(self, status: int, errors: list[dict[str, Any]]) -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = errors


class Wire:
    """Lines of JSON to and from our parent."""

    def __init__(self, incoming: TextIO, outgoing: TextIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._incoming.readline())
        return heard

    def say(self, message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=self._outgoing, flush=True)


class ParentSigns(Ecies):
    """hfc's suite without a private key: our parent has it."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def sign(self, private_key: None, message: bytes) -> bytes:
        self._wire.say({"sign": hashlib.sha256(message).hexdigest()})
        return bytes.fromhex(self._wire.hear()["signature"])


class Client(CAClient):
    """hfc's client with the token of today, over the very bytes that are sent, and a time limit."""

    timeout: float

    def generateAuthToken(self, req: Any, registrar: Enrollment) -> Enrollment:
        """Who asks, instead of a token: hfc wants one before there are any bytes to be sent."""
        return registrar

    def _send_ca_post(self, path: str, **param: Any) -> tuple[Any, int]:
        return self._send("POST", path, **param)

    def _send_ca_get(self, path: str, **param: Any) -> tuple[Any, int]:
        return self._send("GET", path, **param)

    def _send(
        self,
        method: str,
        path: str,
        verify: str,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, Enrollment] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> tuple[Any, int]:
        # hfc leaves the name out when it registers and enrols again.
        body = b"" if json is None else as_json({**json, "caname": self._ca_name} if self._ca_name else json)
        with requests.Session() as session:
            # A .netrc would replace our token, a proxy would see it.
            session.trust_env = False
            request = session.prepare_request(requests.Request(method, self._base_url + path, data=body))
            request.headers["Content-Type"] = "application/json"
            if headers:
                request.headers["Authorization"] = self._token(request, body, headers["Authorization"])
            if auth:
                # As UTF-8, which the authority reads; requests would take Latin 1.
                request.headers["Authorization"] = f"Basic {encoded(':'.join(auth).encode())}"
            answer = session.send(request, verify=verify, timeout=self.timeout, allow_redirects=False)
        try:
            content = answer.json()
        except ValueError:
            raise Refused(answer.status_code, [{"code": 0, "message": answer.text[:200]}]) from None
        if not content.get("success"):
            raise Refused(answer.status_code, content.get("errors") or [])
        return content, answer.status_code

    def _token(self, request: requests.PreparedRequest, body: bytes, registrar: Enrollment) -> str:
        certificate = encoded(registrar.cert)
        signed = f"{request.method}.{encoded(request.path_url.encode())}.{encoded(body)}.{certificate}"
        return f"{certificate}.{encoded(self._cryptoPrimitives.sign(registrar.private_key, signed.encode()))}"


class Service(CAService):
    """The calls of our parent. Names and values are those of the authority's own interface."""

    def __init__(self, wire: Wire, url: str, tls_ca: str, name: str, timeout: float) -> None:
        crypto = ParentSigns(wire)
        super().__init__(url, tls_ca, crypto, name)
        self._ca_client = Client(url, tls_ca, ca_name=name, cryptoPrimitives=crypto)
        self._ca_client.timeout = timeout

    def information(self, asker: Enrollment) -> dict[str, Any]:
        """hfc's `get_cainfo` takes no answer of an authority that has a name, unless that name was asked for."""
        client = self._ca_client
        found: dict[str, Any] = client._send_ca_post("cainfo", json={}, verify=client._ca_certs_path)[0]["result"]
        return {"name": found["CAName"], "version": found["Version"], "chain": decoded(found["CAChain"])}

    def enrol(self, asker: Enrollment, request: str, **arguments: Any) -> dict[str, str]:
        enrolled = self.enroll(csr=x509.load_pem_x509_csr(request.encode()), **arguments)
        return {"certificate": enrolled.cert.decode(), "chain": enrolled.caCert.decode()}

    def enrol_again(self, asker: Enrollment, request: str) -> dict[str, str]:
        """hfc's `reenroll` makes the key itself."""
        certificate, chain = self._ca_client.reenroll({"certificate_request": request}, asker)
        return {"certificate": certificate.decode(), "chain": chain.decode()}

    def register_identity(self, asker: Enrollment, **arguments: Any) -> str:
        secret: str = asker.register(**arguments)
        return secret

    def revoke_certificates(self, asker: Enrollment, **arguments: Any) -> dict[str, Any]:
        revoked, crl = asker.revoke(gencrl=True, **arguments)
        serials = [each["Serial"] for each in revoked or []]
        return {"serials": serials, "crl": decoded(crl)}

    def revocations(self, asker: Enrollment) -> str:
        return decoded(asker.generateCRL())

    def identities(self, asker: Enrollment) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.newIdentityService().getAll(asker)["result"]["identities"]
        return found


CALLS: dict[str, Callable[..., Any]] = {
    "information": Service.information,
    "enrol": Service.enrol,
    "enrol again": Service.enrol_again,
    "register": Service.register_identity,
    "revoke": Service.revoke_certificates,
    "revocations": Service.revocations,
    "identities": Service.identities,
}


def as_json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def answer(wire: Wire, request: Mapping[str, Any]) -> dict[str, Any]:
    service = Service(wire, request["url"], request["tls_ca"], request["name"], request["timeout"])
    asker = Enrollment(None, request["certificate"].encode(), service=service)
    try:
        return {"result": CALLS[request["call"]](service, asker, **request["arguments"])}
    except Refused as refused:
        return {"refused": {"status": refused.status, "errors": refused.errors}}
    except requests.exceptions.SSLError as error:
        return {"untrusted": str(error)}
    except requests.exceptions.RequestException as error:
        return {"unreachable": str(error)}


def main() -> None:
    # hfc logs whole answers, with the secrets in them; and what others print is no answer.
    logging.disable(logging.CRITICAL)
    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    wire = Wire(sys.stdin, outgoing)
    wire.say(answer(wire, wire.hear()))


if __name__ == "__main__":
    main()
