"""Keys made in a TPM 2.0, which they cannot leave. What is kept in a file is of use in that TPM only.

Everything is loaded for one operation and given back after it: a TPM has room for few objects, and one that was reset
has forgotten them.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509 import load_der_x509_certificate

from evidence.keys import Algorithm, PublicKey, from_der
from meter_agent.keys.base import Attestation
from meter_agent.keys.errors import KeyFileError, KeyRefused, KeyUnavailable

# The stack writes to the terminal what it raises as well.
os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_ECC,
    TPM2_RH,
    TPM2_SE,
    TPM2_ST,
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMS_ECC_PARMS,
    TPMS_SCHEME_HASH,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_PUBLIC,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMT_TK_HASHCHECK,
    TPMU_ASYM_SCHEME,
    TPMU_PUBLIC_PARMS,
    TPMU_SIG_SCHEME,
    TSS2_Exception,
)
from tpm2_pytss.tsskey import TSSPrivKey
from tpm2_pytss.utils import NVReadEK, create_ek_template

SHA256_ECDSA = TPMS_SCHEME_HASH(hashAlg=TPM2_ALG.SHA256)
# It can neither be duplicated nor moved. NODA: power cuts while it is in use do not lock it.
TEMPLATE = TPMT_PUBLIC(
    type=TPM2_ALG.ECC,
    nameAlg=TPM2_ALG.SHA256,
    objectAttributes=TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
    | TPMA_OBJECT.SIGN_ENCRYPT,
    authPolicy=b"",
    parameters=TPMU_PUBLIC_PARMS(
        eccDetail=TPMS_ECC_PARMS(
            symmetric=TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL),
            scheme=TPMT_ECC_SCHEME(scheme=TPM2_ALG.ECDSA, details=TPMU_ASYM_SCHEME(ecdsa=SHA256_ECDSA)),
            curveID=TPM2_ECC.NIST_P256,
            kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
        ),
    ),
)
SIGNATURE_SCHEME = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA, details=TPMU_SIG_SCHEME(ecdsa=SHA256_ECDSA))
# The digest was not made by the TPM, which an unrestricted key need not care about.
NO_TICKET = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
# Tried in this order: the RSA key takes some TPMs a minute to derive.
ENDORSEMENT_KEYS = ECC_P256, RSA_2048 = "EK-ECC256", "EK-RSA2048"


@dataclass(frozen=True, slots=True)
class Tpm:
    """The TPM reached by `tcti`; its endorsement key's certificate lies in it or in the file `ek_certificate`."""

    tcti: str
    ek_certificate: Path | None = None

    def make(self) -> bytes:
        with self.opened() as tpm:
            made = TSSPrivKey.create(tpm, TEMPLATE)
        return bytes(made.to_pem())

    def load(self, content: bytes) -> "KeyInTpm":
        """Raises ValueError with what the content is not."""
        try:
            wrapped = TSSPrivKey.from_pem(content)
            point = wrapped.public.publicArea.unique.ecc
            x, y = (int.from_bytes(bytes(each), "big").to_bytes(32, "big") for each in (point.x, point.y))
            key = PublicKey(Algorithm.P256, x, y)
            key.check_point()
        except (ValueError, TypeError, AttributeError, OverflowError, TSS2_Exception):
            raise ValueError("does not hold a P-256 key of a TPM in PEM form") from None
        return KeyInTpm(self, wrapped, key)

    @contextmanager
    def opened(self) -> Generator[ESAPI, None, None]:
        try:
            with ESAPI(self.tcti) as tpm:
                yield tpm
        except TSS2_Exception as error:
            raise KeyUnavailable(f"the TPM at {self.tcti}: {error}") from None

    def endorsement(self, tpm: ESAPI) -> tuple[bytes, TPM2B_PUBLIC]:
        """Certificate and template of the endorsement key, of the first kind of which there is a certificate."""
        if self.ek_certificate is not None:
            certificate = _read_certificate(self.ek_certificate)
            is_rsa = isinstance(load_der_x509_certificate(certificate).public_key(), rsa.RSAPublicKey)
            return certificate, create_ek_template(RSA_2048 if is_rsa else ECC_P256, NVReadEK(tpm))[1]
        for kind in ENDORSEMENT_KEYS:
            padded, template = create_ek_template(kind, NVReadEK(tpm))
            if padded is not None:
                return _without_padding(padded), template
        raise KeyRefused(f"the TPM at {self.tcti} holds no certificate of its endorsement key: set ek_certificate")


@dataclass(frozen=True, slots=True)
class KeyInTpm:
    """A key of `tpm`, wrapped by it."""

    tpm: Tpm
    wrapped: TSSPrivKey
    public_key: PublicKey

    def sign(self, digest: bytes) -> bytes:
        with self.tpm.opened() as tpm, self._loaded(tpm) as key:
            made = tpm.sign(key, TPM2B_DIGEST(digest), SIGNATURE_SCHEME, NO_TICKET)
            # Parts point into the whole and do not keep it alive: `made` must not be let go of before they are read.
            parts = made.signature.ecdsa
            r, s = (int.from_bytes(bytes(part), "big") for part in (parts.signatureR, parts.signatureS))
        return from_der(Algorithm.P256, encode_dss_signature(r, s))

    def attest(self) -> Attestation:
        with self.tpm.opened() as tpm:
            certificate, template = self.tpm.endorsement(tpm)
            with _endorsement_key(tpm, template) as (_, public):
                return Attestation(certificate, public.publicArea.marshal(), self.wrapped.public.publicArea.marshal())

    def activate(self, credential: bytes) -> bytes:
        blob, secret = _read_credential(credential)
        with self.tpm.opened() as tpm:
            _, template = self.tpm.endorsement(tpm)
            # No more than three objects fit: the key's parent has to be gone before the endorsement key comes.
            with self._loaded(tpm) as key, _endorsement_key(tpm, template) as (ek, _), _ek_session(tpm) as session:
                try:
                    return bytes(tpm.activate_credential(key, ek, blob, secret, ESYS_TR.PASSWORD, session))
                except TSS2_Exception as error:
                    if not is_about_input(error):
                        raise
                    raise KeyRefused(f"the credential was not made for this key in this TPM: {error}") from None

    @contextmanager
    def _loaded(self, tpm: ESAPI) -> Generator[ESYS_TR, None, None]:
        try:
            handle = self.wrapped.load(tpm)
        except TSS2_Exception as error:
            if not is_about_input(error):
                raise
            raise KeyFileError(f"the key is of no use in the TPM at {self.tpm.tcti}: {error}") from None
        with handle:
            yield handle


@contextmanager
def _endorsement_key(tpm: ESAPI, template: TPM2B_PUBLIC) -> Generator[tuple[ESYS_TR, TPM2B_PUBLIC], None, None]:
    handle, public, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.RH_ENDORSEMENT)
    with handle:
        yield handle, public


@contextmanager
def _ek_session(tpm: ESAPI) -> Generator[ESYS_TR, None, None]:
    """What endorsement keys ask for: who may use the endorsement hierarchy may use them."""
    no_cipher = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
    with tpm.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, no_cipher, TPM2_ALG.SHA256) as session:
        tpm.policy_secret(ESYS_TR.RH_ENDORSEMENT, session, b"", b"", b"", 0)
        yield session


def _read_credential(credential: bytes) -> tuple[TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET]:
    try:
        blob, used = TPM2B_ID_OBJECT.unmarshal(credential)
        secret, rest = TPM2B_ENCRYPTED_SECRET.unmarshal(credential[used:])
    except TSS2_Exception as error:
        raise KeyRefused(f"the credential has another form: {error}") from None
    if used + rest != len(credential):
        raise KeyRefused("the credential has another form: it is too long")
    return blob, secret


def _read_certificate(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None


def _without_padding(padded: bytes) -> bytes:
    """A certificate as it lies in a TPM's memory, which may be longer: a DER sequence says how long it is."""
    if padded[:2] != b"\x30\x82":
        raise KeyRefused("what the TPM holds as certificate of its endorsement key is none")
    return padded[: 4 + int.from_bytes(padded[2:4], "big")]


def is_about_input(error: TSS2_Exception) -> bool:
    """Whether the TPM refuses what it was given, rather than not answering or having no room."""
    layer, is_of_format_1 = error.rc >> 16, error.rc & 0x80
    return layer == 0 and bool(is_of_format_1)
