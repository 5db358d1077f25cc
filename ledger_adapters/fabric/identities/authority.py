"""A Fabric CA: what can be asked of it, by way of a process that runs hfc."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.gateway import SigningIdentity
from ledger_adapters.fabric.identities.exceptions import Refused, Unreachable
from ledger_adapters.fabric.identities.process import run_hfc


class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280)."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keycompromise"
    AFFILIATION_CHANGED = "affiliationchange"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationofoperation"
    PRIVILEGE_WITHDRAWN = "privilegewithdrawn"


@dataclass(frozen=True, slots=True)
class Attribute:
    """`in_certificate`: whether it stands in every certificate, so that chaincode can read it."""

    name: str
    value: str
    in_certificate: bool = True


@dataclass(frozen=True, slots=True)
class Information:
    """`chain`: the authority's certificates in PEM."""

    name: str
    version: str
    chain: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and those above it, in PEM."""

    certificate: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Revoked:
    """Serial numbers of what was revoked by this call, and the list (PEM) of all that ever was."""

    serials: tuple[int, ...]
    crl: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """`most_enrolments` is -1 where there is no limit."""

    id: str
    type: str
    affiliation: str
    most_enrolments: int
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Authority:
    """`url` begins with https; `tls_ca` has the certificates (PEM) that sign its own. `python`: that of hfc.

    `name` says which authority of the server is meant, empty its first. `timeout` in seconds, per answer. Every call
    raises `Refused`, `Unreachable`, `HfcFailed`, or `Misconfigured` where Python or `tls_ca` do not fit.
    """

    url: str
    tls_ca: Path
    python: Path
    name: str = ""
    timeout: float = 15.0

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise Misconfigured(f"{self.url} is no https address, and secrets go there")
        if not self.tls_ca.is_file():
            raise Misconfigured(f"there is no file {self.tls_ca} of the authority's TLS certificate")

    def information(self) -> Information:
        found = self._ask("information", {})
        return Information(found["name"], found["version"], found["chain"].encode())

    def enrol(self, id: str, secret: str, request: x509.CertificateSigningRequest) -> Issued:
        """`request` has the id as its common name."""
        arguments = {"enrollment_id": id, "enrollment_secret": secret, "request": _pem(request)}
        return _issued(self._ask("enrol", arguments))

    def enrol_again(self, by: SigningIdentity, request: x509.CertificateSigningRequest) -> Issued:
        """A further certificate for who has a valid one."""
        return _issued(self._ask("enrol again", {"request": _pem(request)}, by))

    def register(
        self,
        by: SigningIdentity,
        id: str,
        *,
        type: str = "client",
        affiliation: str = "",
        most_enrolments: int = 1,
        attributes: Iterable[Attribute] = (),
        secret: str | None = None,
    ) -> str:
        """The secret to enrol with, made by the authority where none is given."""
        arguments = {
            "enrollmentID": id,
            "enrollmentSecret": secret,
            "role": type,
            "affiliation": affiliation,
            "maxEnrollments": most_enrolments,
            "attrs": [{"name": each.name, "value": each.value, "ecert": each.in_certificate} for each in attributes],
        }
        return str(self._ask("register", arguments, by))

    def revoke(self, by: SigningIdentity, id: str, reason: Reason = Reason.UNSPECIFIED) -> Revoked:
        """All certificates of an identity, which cannot enrol again either."""
        return _revoked(self._ask("revoke", {"enrollmentID": id, "reason": reason}, by))

    def revoke_certificate(
        self, by: SigningIdentity, certificate: x509.Certificate, reason: Reason = Reason.UNSPECIFIED
    ) -> Revoked:
        """One certificate; its identity goes on with others."""
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        if issuer is None:
            raise ValueError("the certificate does not say which key signed it")
        arguments = {"aki": issuer.hex(), "serial": f"{certificate.serial_number:x}", "reason": reason}
        return _revoked(self._ask("revoke", arguments, by))

    def revocations(self, by: SigningIdentity) -> bytes:
        """The list (PEM) of all that was ever revoked."""
        return str(self._ask("revocations", {}, by)).encode()

    def identities(self, by: SigningIdentity) -> tuple[Registered, ...]:
        """Those that `by` may see."""
        return tuple(
            Registered(
                each["id"],
                each["type"],
                each["affiliation"],
                each["max_enrollments"],
                tuple(Attribute(a["name"], a["value"], a.get("ecert", False)) for a in each["attrs"] or []),
            )
            for each in self._ask("identities", {}, by)
        )

    def _ask(self, call: str, arguments: Mapping[str, Any], by: SigningIdentity | None = None) -> Any:
        request = {
            "url": self.url.rstrip("/"),
            "tls_ca": str(self.tls_ca),
            "name": self.name,
            "timeout": self.timeout,
            "call": call,
            "arguments": arguments,
            "certificate": by.identity.certificate.decode() if by else "",
        }
        answer = run_hfc(self.python, request, by.signer.sign if by else None, self.timeout)
        if "result" in answer:
            return answer["result"]
        if refused := answer.get("refused"):
            raise Refused(refused["status"], [(each["code"], each["message"]) for each in refused["errors"]])
        if untrusted := answer.get("untrusted"):
            raise Misconfigured(f"{self.tls_ca} does not vouch for the authority at {self.url}: {untrusted}")
        raise Unreachable(f"no answer of the authority at {self.url}: {answer['unreachable']}")


def _pem(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(Encoding.PEM).decode()


def _issued(answer: Mapping[str, str]) -> Issued:
    return Issued(answer["certificate"].encode(), answer["chain"].encode())


def _revoked(answer: Mapping[str, Any]) -> Revoked:
    return Revoked(tuple(int(serial, 16) for serial in answer["serials"]), answer["crl"].encode())
