"""Keys in a TPM: what signs, what is exchanged, what is shown to the head-end, and who fails to pretend."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from apps.metering.attestation import AttestationRefused, Challenge, Rule, begin, finish
from evidence.keys import Algorithm, PublicKey
from meter_agent.keys import KeyFileError, KeyRefused, Keys, KeyUnavailable, Place, open_key, open_keys
from meter_agent.keys.base import Attestation
from meter_agent.keys.settings import ProcessKey, TpmKey
from tests.endorsement import NOW, Authority
from tests.meter_agent.key_processes import running_key_process
from tests.metering.tpm_by_hand import SIGNING, Area
from tests.tpm.emulator import Emulator, endorsement_key, running_tpm

pytestmark = pytest.mark.tpm

DIGEST = b"\x05" * 32


@pytest.fixture
def keys(tpm: Emulator, key_folder: Path) -> Keys:
    return open_keys(TpmKey(key_folder / "device.tpm", tpm.tcti))


@pytest.fixture
def other_keys(other_tpm: Emulator, tmp_path: Path) -> Keys:
    return open_keys(TpmKey(tmp_path / "other" / "device.tpm", other_tpm.tcti))


def challenge(given: Attestation, *cas: Authority) -> Challenge:
    authorities = [ca.certificate for ca in cas]
    return begin(given.ek_certificate, given.ek_public, given.key_public, authorities, now=NOW)


def refusal(given: Attestation, *cas: Authority) -> Rule:
    with pytest.raises(AttestationRefused) as caught:
        challenge(given, *cas)
    return caught.value.rule


def test_a_key_in_a_tpm_signs_as_every_key(keys: Keys, key_folder: Path, tpm: Emulator) -> None:
    made = keys.make()
    assert made.algorithm == Algorithm.P256
    signer = open_key(TpmKey(key_folder / "device.tpm", tpm.tcti))
    assert signer.public_key == made
    # Half of what a TPM signs has a high s, which is brought down.
    for _ in range(20):
        digest = secrets.token_bytes(32)
        assert made.verifies(digest, signer.sign(digest))
    assert b"TSS2 PRIVATE KEY" in (key_folder / "device.tpm").read_bytes()


def test_keys_in_a_tpm_are_exchanged(keys: Keys) -> None:
    first = keys.make()
    second = keys.make_next()
    keys.promote(second.id)
    third = keys.make_next()
    for key in (first, second, third):
        assert key.verifies(DIGEST, keys.sign(key.id, DIGEST))
    assert keys.held().keys == {Place.CURRENT: second, Place.NEXT: third, Place.OLD: first}
    keys.forget(Place.OLD)
    with pytest.raises(KeyRefused, match="there is no key"):
        keys.sign(first.id, DIGEST)


@pytest.mark.parametrize("which", ["keys", "other_keys"])
def test_a_tpm_shows_that_a_key_is_in_it(which: str, request: pytest.FixtureRequest, maker: Authority) -> None:
    """One has an ECC endorsement key, the other an RSA one."""
    keys: Keys = request.getfixturevalue(which)
    key = keys.make()
    given = challenge(keys.attest(key.id), maker)
    assert given.key == key
    finish(given.secret, keys.activate(key.id, given.credential))
    # So it does for the key that is to follow, which its TPM is the same for.
    following = keys.make_next()
    second = challenge(keys.attest(following.id), maker)
    assert (second.key, second.tpm) == (following, given.tpm)
    finish(second.secret, keys.activate(following.id, second.credential))


def test_the_key_process_shows_it_too(tpm: Emulator, maker: Authority, tmp_path: Path) -> None:
    with running_key_process(tmp_path, f'kind = "tpm"\nfile = "key/device.tpm"\ntcti = "{tpm.tcti}"') as process:
        key = process.keys.make()
        signer = open_key(ProcessKey(process.socket))
        assert key.verifies(DIGEST, signer.sign(DIGEST))
        given = challenge(process.keys.attest(key.id), maker)
        finish(given.secret, process.keys.activate(key.id, given.credential))
        with pytest.raises(KeyRefused, match="not made for this key in this TPM"):
            process.keys.activate(process.keys.make_next().id, given.credential)


def test_the_certificate_may_lie_in_a_file(tpm: Emulator, maker: Authority, tmp_path: Path) -> None:
    """Some TPMs have theirs on the maker's server only."""
    bare = maker.certify(endorsement_key(tpm, "EK-RSA2048"))
    (tmp_path / "ek.der").write_bytes(bare)
    keys = open_keys(TpmKey(tmp_path / "key" / "device.tpm", tpm.tcti, tmp_path / "ek.der"))
    key = keys.make()
    attestation = keys.attest(key.id)
    assert attestation.ek_certificate == bare
    given = challenge(attestation, maker)
    finish(given.secret, keys.activate(key.id, given.credential))
    (tmp_path / "ek.der").unlink()
    with pytest.raises(KeyFileError, match=r"ek\.der cannot be read"):
        keys.attest(key.id)


def test_a_tpm_of_a_foreign_maker_is_refused(keys: Keys) -> None:
    assert refusal(keys.attest(keys.make().id), Authority("Somebody else")) is Rule.FOREIGN_EK


def test_a_key_of_another_tpm_is_refused(keys: Keys, other_keys: Keys, maker: Authority) -> None:
    """A box claims the endorsement key of a TPM that it does not have."""
    key, theirs = keys.make(), other_keys.attest(other_keys.make().id)
    mine = keys.attest(key.id)
    assert refusal(Attestation(theirs.ek_certificate, mine.ek_public, mine.key_public), maker) is Rule.ANOTHER_EK
    given = challenge(Attestation(theirs.ek_certificate, theirs.ek_public, mine.key_public), maker)
    with pytest.raises(KeyRefused, match="not made for this key in this TPM"):
        keys.activate(key.id, given.credential)


def test_a_wrong_credential_is_refused(keys: Keys, maker: Authority) -> None:
    key = keys.make()
    given = challenge(keys.attest(key.id), maker)
    for position in (0, 5, 40, len(given.credential) - 1):
        changed = bytearray(given.credential)
        changed[position] ^= 1
        with pytest.raises(KeyRefused, match="the credential"):
            keys.activate(key.id, bytes(changed))
    for content in (b"", given.credential[:-1], given.credential + b"\0", bytes(600)):
        with pytest.raises(KeyRefused, match="the credential"):
            keys.activate(key.id, content)
    other = challenge(keys.attest(key.id), maker)
    with pytest.raises(AttestationRefused) as caught:
        finish(given.secret, keys.activate(key.id, other.credential))
    assert caught.value.rule is Rule.WRONG_SECRET
    finish(given.secret, keys.activate(key.id, given.credential))


def test_a_key_that_can_be_duplicated_is_refused(tpm: Emulator, keys: Keys, maker: Authority, key_folder: Path) -> None:
    from tpm2_pytss import TPMA_OBJECT, TPMT_PUBLIC
    from tpm2_pytss.tsskey import TSSPrivKey

    from meter_agent.keys.tpm import TEMPLATE

    template, _ = TPMT_PUBLIC.unmarshal(TEMPLATE.marshal())
    template.objectAttributes = TEMPLATE.objectAttributes & ~(TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT)
    with tpm.opened() as session:
        movable = TSSPrivKey.create(session, template)
    (key_folder / "device.tpm").write_bytes(movable.to_pem())
    (key_folder / "device.tpm").chmod(0o600)
    key = keys.make()
    given = keys.attest(key.id)
    assert refusal(given, maker) is Rule.KEY_CAN_LEAVE
    # To say that it cannot does not help: the TPM knows it by another name.
    lie = bytearray(given.key_public)
    lie[4:8] = SIGNING.to_bytes(4, "big")
    credential = challenge(Attestation(given.ek_certificate, given.ek_public, bytes(lie)), maker).credential
    with pytest.raises(KeyRefused, match="not made for this key in this TPM"):
        keys.activate(key.id, credential)


def test_a_key_in_a_file_cannot_pretend_to_be_in_a_tpm(tpm: Emulator, keys: Keys, maker: Authority) -> None:
    """Its owner has a TPM too, and shows it the public part of the key as if the rest were there."""
    from meter_agent.keys.tpm import Tpm

    own = ec.generate_private_key(ec.SECP256R1())
    area = Area(own.public_key())
    real = keys.attest(keys.make().id)
    given = challenge(Attestation(real.ek_certificate, real.ek_public, bytes(area)), maker)
    with pytest.raises(KeyRefused, match="not made for this key in this TPM"):
        keys.activate(keys.make().id, given.credential)
    with pytest.raises(KeyUnavailable, match="authValue or authPolicy is not available"):
        shown_to(tpm, bytes(area)).activate(given.credential)
    with pytest.raises(KeyUnavailable, match="inconsistent attributes"), Tpm(tpm.tcti).opened() as session:
        load_whole(session, bytes(area), own)


def shown_to(emulator: Emulator, area: bytes) -> Any:
    """A key of which the TPM has the public part only."""
    from tpm2_pytss import ESYS_TR, TPM2B_PUBLIC, TPMT_PUBLIC

    from meter_agent.keys.tpm import KeyInTpm, Tpm

    class Shown(KeyInTpm):
        @contextmanager
        def _loaded(self, tpm: Any) -> Iterator[Any]:
            public, _ = TPMT_PUBLIC.unmarshal(area)
            with tpm.load_external(TPM2B_PUBLIC(publicArea=public), hierarchy=ESYS_TR.NULL) as handle:
                yield handle

    return Shown(Tpm(emulator.tcti), None, PublicKey(Algorithm.P256, bytes(32), bytes(32)))


def load_whole(session: Any, area: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """Give the TPM the private part as well."""
    from tpm2_pytss import (
        ESYS_TR,
        TPM2_ALG,
        TPM2B_PUBLIC,
        TPM2B_SENSITIVE,
        TPMT_PUBLIC,
        TPMT_SENSITIVE,
        TPMU_SENSITIVE_COMPOSITE,
    )

    public, _ = TPMT_PUBLIC.unmarshal(area)
    number = key.private_numbers().private_value.to_bytes(32, "big")
    sensitive = TPMT_SENSITIVE(sensitiveType=TPM2_ALG.ECC, sensitive=TPMU_SENSITIVE_COMPOSITE(ecc=number))
    session.load_external(TPM2B_PUBLIC(publicArea=public), TPM2B_SENSITIVE(sensitiveArea=sensitive), ESYS_TR.NULL)


def test_a_tpm_that_was_cleared_says_that_the_key_is_gone(tmp_path: Path, maker: Authority) -> None:
    with running_tpm(tmp_path / "state", maker, "EK-ECC256") as emulator:
        keys = open_keys(TpmKey(tmp_path / "key" / "device.tpm", emulator.tcti))
        key = keys.make()
        with emulator.opened() as session:
            from tpm2_pytss import ESYS_TR

            session.clear(ESYS_TR.RH_LOCKOUT)
        with pytest.raises(KeyFileError, match="of no use in the TPM"):
            keys.sign(key.id, DIGEST)


def test_the_file_is_of_no_use_to_another_tpm(keys: Keys, key_folder: Path, other_tpm: Emulator) -> None:
    key = keys.make()
    stolen = open_keys(TpmKey(key_folder / "device.tpm", other_tpm.tcti))
    with pytest.raises(KeyFileError, match="of no use in the TPM"):
        stolen.sign(key.id, DIGEST)


def test_a_damaged_file_is_named(keys: Keys, key_folder: Path, tpm: Emulator) -> None:
    made = keys.make()
    path = key_folder / "device.tpm"
    content = path.read_bytes()
    for position in range(0, len(content), 9):
        for damaged in (
            content[:position],
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :],
        ):
            path.write_bytes(damaged)
            held = keys.held()
            if Place.CURRENT in held.faults:
                assert "does not hold a P-256 key of a TPM" in held.faults[Place.CURRENT]
    # Where the damage shows only in the TPM, that says it.
    wrapped = bytearray(content)
    wrapped[-40] = ord("A") if wrapped[-40] != ord("A") else ord("B")
    path.write_bytes(wrapped)
    with pytest.raises(KeyFileError, match="of no use in the TPM"):
        open_keys(TpmKey(path, tpm.tcti)).sign(made.id, DIGEST)
    assert made.verifies(DIGEST, keys.sign(made.id, DIGEST)), "it was loaded before the damage"


def test_a_tpm_that_is_away_is_waited_for(tmp_path: Path, maker: Authority) -> None:
    with running_tpm(tmp_path / "state", maker, "EK-ECC256") as emulator:
        keys = open_keys(TpmKey(tmp_path / "key" / "device.tpm", emulator.tcti))
        key = keys.make()
        emulator.end()
        with pytest.raises(KeyUnavailable, match="the TPM at swtpm"):
            keys.sign(key.id, DIGEST)
        with pytest.raises(KeyUnavailable, match="the TPM at swtpm"):
            keys.make_next()
        assert keys.held().keys == {Place.CURRENT: key}
        emulator.start()
        assert key.verifies(DIGEST, keys.sign(key.id, DIGEST))
