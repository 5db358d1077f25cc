"""What a channel is and was: the blocks that hold its configurations, and the organisations they name."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.msp import msp_config_pb2

from evidence.fabric.identities import Organisation, Role
from ledger_adapters.exceptions import LedgerError, Misconfigured
from ledger_adapters.fabric.gateway import BlockingGateway, BlocksRequest, SigningIdentity

APPLICATION, ORDERER = "Application", "Orderer"
_SIGNATURES = common_pb2.BlockMetadataIndex.SIGNATURES


def configuration_blocks(gateway: BlockingGateway, identity: SigningIdentity, channel: str) -> Iterator[Any]:
    """Blocks (`common.Block`) with every configuration that the channel ever had, the latest first.

    Each block names the one with the configuration it was made under. Raises `EvaluateError` and `EventsError`.
    """
    number = gateway.chain_info(identity, channel).height - 1
    while number >= 0:
        block = read_block(gateway, identity, channel, _last_configuration(gateway, identity, channel, number))
        yield block
        number = block.header.number - 1


def _last_configuration(gateway: BlockingGateway, identity: SigningIdentity, channel: str, number: int) -> int:
    block = read_block(gateway, identity, channel, number)
    signed = common_pb2.Metadata.FromString(block.metadata.metadata[_SIGNATURES])
    found: int = common_pb2.OrdererBlockMetadata.FromString(signed.value).last_config.index
    return found


def read_block(gateway: BlockingGateway, identity: SigningIdentity, channel: str, number: int) -> Any:
    """A block that the peer has (`common.Block`). Raises `EventsError`."""
    request = BlocksRequest.build(identity.identity, channel, number, number)
    with gateway.blocks(request.sign(identity)) as blocks:
        for block in blocks:
            return block
    raise LedgerError(f"the peer gives no block {number}")


def configuration_of(block: Any) -> Any:
    """`common.ConfigEnvelope`: the configuration in a block, and the signed change that led to it."""
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
    return configtx_pb2.ConfigEnvelope.FromString(payload.data)


def organisations_of(
    configurations: Iterable[Any], section: str, role: Role, names: Collection[str] | None = None
) -> dict[str, Organisation]:
    """The organisations in a section of configurations (`common.Config`), by their MSPs; those of `names` if given.

    Each with every authority that it had in one of them. Raises `Misconfigured` for one whose identities do not show
    their role.
    """
    found: defaultdict[str, set[bytes]] = defaultdict(set)
    for configuration in configurations:
        for group in configuration.channel_group.groups[section].groups.values():
            msp = _msp(group)
            if names is None or msp.name in names:
                found[msp.name] |= _authorities(msp, role)
    return {name: Organisation(name, tuple(sorted(authorities))) for name, authorities in found.items()}


def _msp(group: Any) -> Any:
    return msp_config_pb2.FabricMSPConfig.FromString(
        msp_config_pb2.MSPConfig.FromString(group.values["MSP"].value).config
    )


def _authorities(msp: Any, role: Role) -> set[bytes]:
    units = msp.fabric_node_ous
    unit = getattr(units, f"{role}_ou_identifier").organizational_unit_identifier
    if not units.enable or unit != role:
        raise Misconfigured(f"CHANNEL: {msp.name} does not tell its {role}s by the organisational unit {role!r}")
    authorities = (x509.load_pem_x509_certificate(pem) for pem in (*msp.root_certs, *msp.intermediate_certs))
    return {each.public_bytes(Encoding.DER) for each in authorities}
