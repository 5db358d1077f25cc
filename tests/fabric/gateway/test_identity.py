"""Identities and signatures, without a network."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from fabric_protos.msp import identities_pb2

from ledger_adapters.fabric.gateway import Identity, PrivateKeySigner, SigningIdentity, low_s
from ledger_adapters.fabric.gateway.identity import P256_ORDER
from tests.fabric.gateway.peer import HALF_ORDER, certificate, private_pem


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_every_signature_verifies_and_has_low_s(key: ec.EllipticCurvePrivateKey) -> None:
    signer = PrivateKeySigner(key)
    for number in range(64):
        content = number.to_bytes(4, "big")
        signature = signer.sign(hashlib.sha256(content).digest())
        assert decode_dss_signature(signature)[1] <= HALF_ORDER
        key.public_key().verify(signature, content, ec.ECDSA(SHA256()))


def test_a_signature_with_high_s_becomes_its_low_twin(key: ec.EllipticCurvePrivateKey) -> None:
    r, s = decode_dss_signature(key.sign(b"content", ec.ECDSA(SHA256())))
    low, high = sorted((s, P256_ORDER - s))
    assert low_s(encode_dss_signature(r, high)) == low_s(encode_dss_signature(r, low)) == encode_dss_signature(r, low)
    key.public_key().verify(low_s(encode_dss_signature(r, high)), b"content", ec.ECDSA(SHA256()))


def test_half_of_the_order_is_still_low() -> None:
    assert low_s(encode_dss_signature(1, HALF_ORDER)) == encode_dss_signature(1, HALF_ORDER)
    assert low_s(encode_dss_signature(1, HALF_ORDER + 1)) == encode_dss_signature(1, P256_ORDER - HALF_ORDER - 1)


def test_what_is_not_der_is_no_signature() -> None:
    with pytest.raises(ValueError):
        low_s(bytes(64))


def test_the_creator_is_msp_id_and_certificate(key: ec.EllipticCurvePrivateKey) -> None:
    pem = certificate(key, "user1")
    creator = identities_pb2.SerializedIdentity.FromString(Identity("OrgÑMSP", pem).creator)
    assert (creator.mspid, creator.id_bytes) == ("OrgÑMSP", pem)


def test_an_identity_says_until_when_it_is_good(key: ec.EllipticCurvePrivateKey) -> None:
    expires = Identity("Org1MSP", certificate(key, "user1", days=3)).expires
    assert timedelta(days=2) < expires - datetime.now(UTC) <= timedelta(days=3)


def test_an_identity_is_read_from_files(key: ec.EllipticCurvePrivateKey, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_bytes(certificate(key, "user1"))
    (tmp_path / "key.pem").write_bytes(private_pem(key))
    identity = SigningIdentity.from_files("Org1MSP", tmp_path / "cert.pem", tmp_path / "key.pem")
    signature = identity.signer.sign(hashlib.sha256(b"content").digest())
    public_key = identity.identity.x509.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(signature, b"content", ec.ECDSA(SHA256()))


def test_a_key_of_another_certificate_is_refused(key: ec.EllipticCurvePrivateKey) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="does not belong to the certificate of Org1MSP"):
        SigningIdentity.from_pem("Org1MSP", certificate(key, "user1"), private_pem(other))


def test_a_key_on_another_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="secp384r1"):
        PrivateKeySigner.from_pem(private_pem(ec.generate_private_key(ec.SECP384R1())))


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError):
        Identity("Org1MSP", b"-----BEGIN NOTHING-----")
