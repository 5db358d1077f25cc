"""How a channel gets to know what an authority revoked: peers and orderers ask no authority, only the channel."""

from cryptography import x509
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2

from ledger_adapters.fabric.gateway.message import decoding


def exclude(config_block: bytes, msp_id: str, crl: bytes) -> bytes:
    """An update of a channel by which its members refuse what `crl` (PEM) lists, not signed yet (`common.Envelope`).

    The list takes the place of an earlier one by the same issuer. Raises `ValueError` when the block or the list is
    none, or the channel has no such organisation.
    """
    issuer = x509.load_pem_x509_crl(crl).issuer
    with decoding("block of a channel's configuration"):
        block = common_pb2.Block.FromString(config_block)
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
        channel = common_pb2.ChannelHeader.FromString(payload.header.channel_header).channel_id
        config = configtx_pb2.ConfigEnvelope.FromString(payload.data).config.channel_group
    application = config.groups["Application"]
    if msp_id not in application.groups:
        raise ValueError(f"channel {channel} has no organisation {msp_id}, only {', '.join(application.groups)}")
    organisation = application.groups[msp_id]
    msp = msp_config_pb2.MSPConfig.FromString(organisation.values["MSP"].value)
    fabric = msp_config_pb2.FabricMSPConfig.FromString(msp.config)
    others = [each for each in fabric.revocation_list if x509.load_pem_x509_crl(each).issuer != issuer]
    del fabric.revocation_list[:]
    fabric.revocation_list.extend([*others, crl])
    msp.config = fabric.SerializeToString()

    update = configtx_pb2.ConfigUpdate(channel_id=channel)
    # Read and written are the same groups in the same versions; only the one value has a higher one.
    for part in (update.read_set, update.write_set):
        part.version = config.version
        part.groups["Application"].version = application.version
        part.groups["Application"].groups[msp_id].version = organisation.version
    value = update.write_set.groups["Application"].groups[msp_id].values["MSP"]
    value.version = organisation.values["MSP"].version + 1
    value.mod_policy = organisation.values["MSP"].mod_policy
    value.value = msp.SerializeToString()
    header = common_pb2.ChannelHeader(type=common_pb2.HeaderType.CONFIG_UPDATE, channel_id=channel)
    content = configtx_pb2.ConfigUpdateEnvelope(config_update=update.SerializeToString())
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=header.SerializeToString()), data=content.SerializeToString()
    )
    envelope: bytes = common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString()
    return envelope
