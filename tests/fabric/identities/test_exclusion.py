"""The update by which a channel gets to know what was revoked, without a network."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2

from ledger_adapters.fabric.identities.exclusion import exclude

ROOT = b"the certificate of the utility's authority"


def crl(issuer: str, *serials: int) -> bytes:
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    builder = x509.CertificateRevocationListBuilder(name, now, now + timedelta(days=1))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM)


def config_block(*lists: bytes) -> bytes:
    """Of a channel in which the utility's MSP has these lists already."""
    msp = msp_config_pb2.FabricMSPConfig(name="UtilityMSP", root_certs=[ROOT], revocation_list=lists)
    envelope = configtx_pb2.ConfigEnvelope()
    channel = envelope.config.channel_group
    channel.version = 3
    channel.groups["Orderer"].version = 9
    channel.groups["Application"].version = 4
    utility = channel.groups["Application"].groups["UtilityMSP"]
    utility.version = 5
    utility.values["MSP"].version = 6
    utility.values["MSP"].mod_policy = "Admins"
    utility.values["MSP"].value = msp_config_pb2.MSPConfig(type=0, config=msp.SerializeToString()).SerializeToString()
    utility.values["AnchorPeers"].version = 7
    header = common_pb2.ChannelHeader(channel_id="market")
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=header.SerializeToString()), data=envelope.SerializeToString()
    )
    block = common_pb2.Block()
    block.data.data.append(common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString())
    content: bytes = block.SerializeToString()
    return content


def opened(update: bytes) -> Any:
    """The `ConfigUpdate` in an envelope, which says of itself what it is."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(update).payload)
    header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
    assert (header.type, header.channel_id) == (common_pb2.HeaderType.CONFIG_UPDATE, "market")
    return configtx_pb2.ConfigUpdate.FromString(
        configtx_pb2.ConfigUpdateEnvelope.FromString(payload.data).config_update
    )


def msp_of(update: Any) -> Any:
    value = update.write_set.groups["Application"].groups["UtilityMSP"].values["MSP"].value
    return msp_config_pb2.FabricMSPConfig.FromString(msp_config_pb2.MSPConfig.FromString(value).config)


def test_nothing_but_the_list_changes() -> None:
    new = crl("ca.utility", 1, 2)
    update = opened(exclude(config_block(), "UtilityMSP", new))
    assert update.channel_id == "market"
    read, written = update.read_set, update.write_set
    for part in (read, written):
        assert (part.version, list(part.groups)) == (3, ["Application"])
        application = part.groups["Application"]
        assert (application.version, list(application.groups)) == (4, ["UtilityMSP"])
        assert application.groups["UtilityMSP"].version == 5
    assert not read.groups["Application"].groups["UtilityMSP"].values
    values = written.groups["Application"].groups["UtilityMSP"].values
    assert list(values) == ["MSP"]
    assert (values["MSP"].version, values["MSP"].mod_policy) == (7, "Admins")
    assert msp_of(update) == msp_config_pb2.FabricMSPConfig(name="UtilityMSP", root_certs=[ROOT], revocation_list=[new])


def test_a_newer_list_replaces_that_of_its_issuer_alone() -> None:
    old, others, new = crl("ca.utility", 1), crl("another", 7), crl("ca.utility", 1, 2)
    update = opened(exclude(config_block(old, others), "UtilityMSP", new))
    assert list(msp_of(update).revocation_list) == [others, new]


def test_what_cannot_be_told_to_the_channel() -> None:
    with pytest.raises(ValueError, match="channel market has no organisation NobodyMSP, only UtilityMSP"):
        exclude(config_block(), "NobodyMSP", crl("ca.utility"))
    with pytest.raises(ValueError):
        exclude(config_block(), "UtilityMSP", b"no list")
    with pytest.raises(ValueError, match="not a block of a channel's configuration"):
        exclude(b"no block", "UtilityMSP", crl("ca.utility"))
