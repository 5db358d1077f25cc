"""Where the key of a box that enrols is kept: in a file, or in a TPM, which it then has to show."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.custody import open_secret, seal
from apps.metering.attestation import AttestationRefused, begin, finish, read_authorities
from apps.metering.choices import EnrolmentState
from apps.metering.exceptions import InputRefused, Violation
from apps.metering.models import EnrolmentCode
from evidence.canonical import CanonicalError, decode_bytes, encode_bytes
from evidence.keys import PublicKey

MATERIAL = ("ek_certificate", "ek_public", "key_public")
FIELD = "body.attestation"


def take_origin(enrolment: EnrolmentCode, key: PublicKey, shown: Mapping[str, Any]) -> None:
    """Set the state of an enrolment by what a box shows: material of a TPM, the answer to its challenge, or nothing.

    Nothing is stored. Raises `InputRefused`.
    """
    try:
        content = {name: decode_bytes(value) for name, value in shown.items()}
    except CanonicalError as error:
        raise _refuse("format", str(error)[:200]) from None
    try:
        if content.keys() == {"secret"} and enrolment.attestation is not None:
            finish(_opened(enrolment.attestation), content["secret"])
            enrolment.attestation = {"tpm": enrolment.attestation["tpm"]}
            enrolment.state = EnrolmentState.WAITING
        elif content.keys() == set(MATERIAL):
            enrolment.attestation = _challenge(key, content)
            enrolment.state = EnrolmentState.CHALLENGED
        elif not content and enrolment.area.software_keys:
            enrolment.attestation = None
            enrolment.state = EnrolmentState.WAITING
        else:
            message = _("This market wants boxes whose key cannot leave a security chip (TPM). This one shows none.")
            raise _refuse("needed", message)
    except AttestationRefused as error:
        raise _refuse(str(error.rule), str(error)) from None


def _challenge(key: PublicKey, content: Mapping[str, bytes]) -> dict[str, str]:
    """What the box is asked, and, sealed, what only the TPM with this key can answer."""
    challenge = begin(
        content["ek_certificate"], content["ek_public"], content["key_public"], authorities(), now=timezone.now()
    )
    if challenge.key != key:
        raise _refuse("another_key", _("What the TPM shows is about another key than the one that asks."))
    return {
        "credential": encode_bytes(challenge.credential),
        "secret": seal(challenge.secret).decode(),
        "tpm": challenge.tpm.hex(),
    }


def _opened(attestation: Mapping[str, str]) -> bytes:
    return open_secret(attestation["secret"].encode())


@cache
def _read(path: Path) -> tuple[x509.Certificate, ...]:
    return read_authorities(path.read_bytes())


def authorities() -> tuple[x509.Certificate, ...]:
    """The makers of TPMs that this installation believes."""
    return _read(settings.TPM_AUTHORITIES) if settings.TPM_AUTHORITIES else ()


def _refuse(rule: str, message: str) -> InputRefused:
    return InputRefused(Violation(FIELD, rule, message))
