"""A market that wants keys of TPMs, and boxes with one."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.cache import cache

from evidence.canonical import decode_bytes, encode_bytes
from meter_agent.keys import Keys, open_key, open_keys
from meter_agent.keys.settings import TpmKey
from tests.endorsement import Authority
from tests.metering.enrolling import Box, Market, make_enrolment
from tests.metering.head_end import assert_refused
from tests.tpm.emulator import Emulator

pytestmark = pytest.mark.tpm


@pytest.fixture
def market(db: None, maker: Authority, tmp_path: Path, settings: Any) -> Market:
    cache.clear()
    made = make_enrolment()
    made.area.software_keys = False
    made.area.save()
    settings.TPM_AUTHORITIES = tmp_path / "makers.pem"
    settings.TPM_AUTHORITIES.write_bytes(maker.certificate.public_bytes(Encoding.PEM))
    return made


def shown(keys: Keys, key: bytes) -> dict[str, str]:
    given = keys.attest(key)
    return {name: encode_bytes(getattr(given, name)) for name in ("ek_certificate", "ek_public", "key_public")}


def test_a_box_with_a_tpm_is_taken_in(market: Market, tpm: Emulator, key_folder: Path) -> None:
    where = TpmKey(key_folder / "device.tpm", tpm.tcti)
    keys = open_keys(where)
    key = keys.make()
    box = Box(market.code, open_key(where))
    told = box.told(box.content(attestation=shown(keys, key.id)))
    assert told["state"] == "challenged"
    secret = keys.activate(key.id, decode_bytes(told["credential"]))
    assert box.told(box.content(attestation={"secret": encode_bytes(secret)})) == {"state": "waiting"}
    assert market.row.public_key == key
    assert market.row.attestation is not None and set(market.row.attestation) == {"tpm"}


def test_a_box_that_shows_the_tpm_of_another_is_not(
    market: Market, tpm: Emulator, other_tpm: Emulator, tmp_path: Path
) -> None:
    mine = open_keys(TpmKey(tmp_path / "mine" / "device.tpm", tpm.tcti))
    theirs = open_keys(TpmKey(tmp_path / "theirs" / "device.tpm", other_tpm.tcti))
    key, other = mine.make(), theirs.make()
    box = Box(market.code, open_key(TpmKey(tmp_path / "mine" / "device.tpm", tpm.tcti)))
    response = box.post(box.content(attestation=shown(theirs, other.id)))
    assert_refused(response, 422, "body.attestation", "another_key")
    # Their endorsement key with my key: the credential is for neither TPM.
    mixed = shown(theirs, other.id) | {"key_public": shown(mine, key.id)["key_public"]}
    assert box.told(box.content(attestation=mixed))["state"] == "challenged"
    response = box.post(box.content(attestation={"secret": encode_bytes(bytes(32))}))
    assert_refused(response, 422, "body.attestation", "wrong_secret")
