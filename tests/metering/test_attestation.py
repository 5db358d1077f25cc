"""The head-end's half of showing that a key is in a TPM, against a TPM written by hand; a real one: test_tpm.py."""

import struct
from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from apps.metering.attestation import AttestationRefused, Challenge, Rule, begin, finish, read_authorities
from evidence.keys import Algorithm, PublicKey
from tests.endorsement import NOW, Authority
from tests.metering.tpm_by_hand import (
    ADMIN,
    AES_CFB,
    DECRYPT,
    ENDORSEMENT,
    FIXED_PARENT,
    FIXED_TPM,
    OF_NONE,
    ORIGIN,
    RESTRICTED,
    SHA_256,
    SHA_384,
    SIGN,
    SIGNING,
    USER,
    Area,
    PrivateKey,
    activate,
    coordinates,
    endorsement_area,
)

AES_256 = struct.pack(">HHH", 6, 256, 0x43)
MAKER = Authority()
RSA_EK = rsa.generate_private_key(65537, 2048)
EK = ec.generate_private_key(ec.SECP256R1())
EK_384 = ec.generate_private_key(ec.SECP384R1())
EK_AREA = endorsement_area(EK)
CERTIFICATE = MAKER.certify(EK.public_key())
KEY = ec.generate_private_key(ec.SECP256R1())
AREA = Area(KEY.public_key())


def challenge(
    certificate: bytes = CERTIFICATE,
    ek: bytes | Area = EK_AREA,
    key: bytes | Area = AREA,
    cas: Sequence[x509.Certificate] = (MAKER.certificate,),
) -> Challenge:
    return begin(certificate, bytes(ek), bytes(key), cas, now=NOW)


def refused(rule: Rule, **changes: object) -> str:
    """What is said about a challenge that is refused by `rule`."""
    with pytest.raises(AttestationRefused) as caught:
        challenge(**changes)  # type: ignore[arg-type]
    assert caught.value.rule is rule
    return str(caught.value)


@pytest.mark.parametrize(
    ("ek", "name_hash", "cipher", "bits"),
    [
        (RSA_EK, SHA_256, AES_CFB, 128),
        (EK, SHA_256, AES_CFB, 128),
        (EK_384, SHA_384, AES_256, 256),
    ],
    ids=["RSA 2048", "P-256", "P-384"],
)
def test_the_tpm_that_holds_the_key_finds_the_secret(ek: PrivateKey, name_hash: int, cipher: bytes, bits: int) -> None:
    given = challenge(MAKER.certify(ek.public_key()), endorsement_area(ek, name_hash, cipher))
    assert given.key == PublicKey(Algorithm.P256, *coordinates(KEY.public_key()))
    answer = activate(ek, AREA.name, given.credential, name_hash, bits)
    assert answer == given.secret
    assert len(answer) == 32
    finish(given.secret, answer)
    # It is for the key with these attributes and no other, and for this TPM.
    other = Area(ec.generate_private_key(ec.SECP256R1()).public_key())
    for name in (other.name, AREA.but(attributes=SIGNING & ~FIXED_TPM).name):
        with pytest.raises(ValueError, match="integrity"):
            activate(ek, name, given.credential, name_hash, bits)
    assert given.tpm != challenge().tpm or ek is EK


def test_another_tpm_finds_no_secret() -> None:
    thief = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="integrity"):
        activate(thief, AREA.name, challenge().credential)


def test_every_challenge_has_a_secret_of_its_own() -> None:
    first, second = challenge(), challenge()
    assert first.secret != second.secret
    assert first.credential != second.credential
    assert (first.key, first.tpm) == (second.key, second.tpm)


@pytest.mark.parametrize("change", [b"", b"\0", bytes(32)])
def test_a_wrong_secret_is_refused(change: bytes) -> None:
    secret = challenge().secret
    for answer in (change, secret[:-1], secret + b"\0", challenge().secret):
        with pytest.raises(AttestationRefused) as caught:
            finish(secret, answer)
        assert caught.value.rule is Rule.WRONG_SECRET


def test_an_endorsement_key_of_a_foreign_maker_is_refused() -> None:
    foreign = Authority("Somebody else").certify(EK.public_key())
    assert "CN=Somebody else" in refused(Rule.FOREIGN_EK, certificate=foreign)
    assert "CN=Makers of TPMs" in refused(Rule.FOREIGN_EK, certificate=Authority().certify(EK.public_key()))
    refused(Rule.FOREIGN_EK, cas=())
    # The certificate of an authority that may sign none is not one that others stand on.
    person = Authority("A person", may_sign=False)
    refused(Rule.FOREIGN_EK, certificate=person.certify(EK.public_key()), cas=(person.certificate,))


def test_a_certificate_signed_for_itself_is_refused() -> None:
    own = Authority()
    own.key = EK
    refused(Rule.FOREIGN_EK, certificate=own.certify(EK.public_key()))


def test_certificates_that_are_over_are_refused() -> None:
    refused(Rule.EK_CERTIFICATE_EXPIRED, certificate=MAKER.certify(EK.public_key(), until=NOW - timedelta(seconds=1)))
    past = Authority(until=NOW - timedelta(seconds=1))
    refused(Rule.EK_CERTIFICATE_EXPIRED, certificate=past.certify(EK.public_key()), cas=(past.certificate,))


@pytest.mark.parametrize("purposes", [(), (ExtendedKeyUsageOID.CLIENT_AUTH,), (ObjectIdentifier("2.23.133.8.3"),)])
def test_a_certificate_for_something_else_is_refused(purposes: Sequence[ObjectIdentifier]) -> None:
    """Else a key in a file could be its own endorsement key, with the certificate that its web server has."""
    refused(Rule.NO_EK_CERTIFICATE, certificate=MAKER.certify(EK.public_key(), purposes=purposes))


def test_a_certificate_that_says_more_than_we_understand_is_refused() -> None:
    refused(Rule.NO_EK_CERTIFICATE, certificate=MAKER.certify(EK.public_key(), is_ca=True))
    limited = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.org")], excluded_subtrees=None)
    said = refused(Rule.NO_EK_CERTIFICATE, certificate=MAKER.certify(EK.public_key(), more=[limited]))
    assert "2.5.29.30" in said
    refused(Rule.NO_EK_CERTIFICATE, certificate=CERTIFICATE + b"\0")
    refused(Rule.NO_EK_CERTIFICATE, certificate=b"")


def test_the_certificate_of_another_endorsement_key_is_refused() -> None:
    thief = ec.generate_private_key(ec.SECP256R1())
    refused(Rule.ANOTHER_EK, ek=endorsement_area(thief))
    refused(Rule.ANOTHER_EK, ek=endorsement_area(RSA_EK))


@pytest.mark.parametrize(
    "ek",
    [
        EK_AREA.but(attributes=ENDORSEMENT & ~FIXED_TPM),
        EK_AREA.but(attributes=ENDORSEMENT & ~RESTRICTED),
        EK_AREA.but(attributes=ENDORSEMENT & ~DECRYPT | SIGN),
        EK_AREA.but(attributes=ENDORSEMENT | SIGN),
        EK_AREA.but(cipher=OF_NONE),
    ],
)
def test_what_is_no_endorsement_key_is_refused(ek: Area) -> None:
    refused(Rule.NO_EK, ek=ek)


@pytest.mark.parametrize(
    ("missing", "name"),
    [(FIXED_TPM, "FIXED_TPM"), (FIXED_PARENT, "FIXED_PARENT"), (ORIGIN, "SENSITIVE_DATA_ORIGIN")],
)
def test_a_key_that_could_leave_its_tpm_is_refused_by_name(missing: int, name: str) -> None:
    assert name in refused(Rule.KEY_CAN_LEAVE, key=AREA.but(attributes=SIGNING & ~missing))


@pytest.mark.parametrize(
    "key",
    [
        AREA.but(attributes=SIGNING | RESTRICTED),
        AREA.but(attributes=SIGNING | DECRYPT),
        AREA.but(attributes=SIGNING & ~SIGN),
        AREA.but(attributes=SIGNING & ~USER),
        # Used by a policy: a TPM might answer for a key of which it was shown the public part only.
        AREA.but(attributes=SIGNING | ADMIN),
        AREA.but(policy=bytes(32)),
        AREA.but(name_hash=SHA_384),
        AREA.but(cipher=AES_CFB),
        AREA.but(attributes=SIGNING | 1 << 2),
        AREA.but(attributes=SIGNING | 1 << 30),
        Area(EK_384.public_key()),
        Area(RSA_EK.public_key(), scheme=OF_NONE),
    ],
)
def test_a_key_of_another_kind_is_refused(key: Area) -> None:
    refused(Rule.KEY_OF_ANOTHER_KIND, key=key)


def test_what_is_no_public_area_is_refused() -> None:
    refused(Rule.MALFORMED, key=b"")
    refused(Rule.MALFORMED, key=bytes(AREA) + b"\0")
    refused(Rule.MALFORMED, key=AREA.but(scheme=struct.pack(">HH", 0x001A, SHA_256)))
    refused(Rule.MALFORMED, key=AREA.but(derivation=struct.pack(">HH", 0x0020, SHA_256)))
    refused(Rule.MALFORMED, key=bytes(AREA)[:-1] + bytes([bytes(AREA)[-1] ^ 1]))
    refused(Rule.MALFORMED, key=Area(rsa.generate_private_key(65537, 1024).public_key(), scheme=OF_NONE))
    refused(Rule.MALFORMED, ek=b"\xff" * 100)


@given(st.data())
def test_changed_bytes_are_refused_by_a_rule_or_mean_another_key(data: st.DataObject) -> None:
    inputs = [CERTIFICATE, bytes(EK_AREA), bytes(AREA)]
    which = data.draw(st.integers(0, 2))
    content = bytearray(inputs[which])
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    inputs[which] = bytes(content)
    try:
        given = challenge(inputs[0], inputs[1], inputs[2])
    except AttestationRefused:
        return
    assert which > 0, "a certificate has a signature"
    # The policy of the endorsement key may be another one: whoever has that key can use it or not.
    if which == 2:
        with pytest.raises(ValueError, match="integrity"):
            activate(EK, AREA.name, given.credential)


def test_authorities_are_read_from_a_file() -> None:
    pem = MAKER.certificate.public_bytes(Encoding.PEM) + Authority("Another").certificate.public_bytes(Encoding.PEM)
    assert [ca.subject.rfc4514_string() for ca in read_authorities(pem)] == ["CN=Makers of TPMs", "CN=Another"]
    leaf = Authority("A person", may_sign=False).certificate.public_bytes(Encoding.PEM)
    with pytest.raises(ValueError, match="CN=A person may not sign certificates"):
        read_authorities(pem + leaf)
    with pytest.raises(ValueError, match="Unable to load PEM file"):
        read_authorities(b"")
