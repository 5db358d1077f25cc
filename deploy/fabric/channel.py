"""The channel's configuration: who is on it, changes of that, and who approved which change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2, configtx_pb2, policies_pb2
from fabric_protos.msp import identities_pb2, msp_config_pb2, msp_principal_pb2
from fabric_protos.peer import configuration_pb2

from deploy.fabric.addresses import port_of
from deploy.fabric.description import CHANNEL, Standing
from ledger_adapters.fabric.configurations import APPLICATION, configuration_blocks, configuration_of
from ledger_adapters.fabric.gateway import BlockingGateway, Identity, Proposal, SigningIdentity

ADMINS = "Admins"
READERS = f"/Channel/{APPLICATION}/Readers"
# Fabric wants `Writers` for these unless the channel says otherwise; a chaincode is read by a proposal, too.
FOR_READERS = ("peer/Propose", "_lifecycle/QueryChaincodeDefinition", "_lifecycle/QueryChaincodeDefinitions")


class Channel:
    """The channel as one client reads it."""

    def __init__(self, gateway: BlockingGateway, identity: SigningIdentity) -> None:
        self._gateway = gateway
        self._identity = identity

    def config(self) -> Any:
        """`common.Config` as it is now."""
        proposal = Proposal.build(self._identity.identity, CHANNEL, "cscc", ["GetChannelConfig", CHANNEL])
        return configtx_pb2.Config.FromString(self._gateway.evaluate(proposal.sign(self._identity)))

    def changes(self) -> Iterator["Change"]:
        """Every configuration that the channel ever had, the latest first."""
        return map(Change.read, configuration_blocks(self._gateway, self._identity, CHANNEL))


@dataclass(frozen=True)
class Change:
    """A configuration of the channel: in which block it stands, who signed it, and the organisations since then.

    `approvals`: MSP id and the name in the certificate; none for the channel's first block.
    """

    block: int
    time: datetime
    approvals: tuple[tuple[str, str], ...]
    organisations: frozenset[str]

    def __str__(self) -> str:
        by = ", ".join(f"{msp_id} ({name})" for msp_id, name in self.approvals) or "nobody: the channel's first block"
        since = ", ".join(sorted(self.organisations))
        return f"block {self.block}, {self.time:%Y-%m-%d %H:%M:%S} UTC: {since}; approved by {by}"

    @classmethod
    def read(cls, block: Any) -> "Change":
        """Of a block (`common.Block`) that holds a configuration."""
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        envelope = configuration_of(block)
        last = common_pb2.Payload.FromString(envelope.last_update.payload)
        signatures = configtx_pb2.ConfigUpdateEnvelope.FromString(last.data).signatures
        return cls(
            block.header.number,
            header.timestamp.ToDatetime(tzinfo=UTC),
            tuple(sorted(_signer(each.signature_header) for each in signatures)),
            frozenset(envelope.config.channel_group.groups[APPLICATION].groups),
        )


def _signer(header: bytes) -> tuple[str, str]:
    creator = identities_pb2.SerializedIdentity.FromString(common_pb2.SignatureHeader.FromString(header).creator)
    subject = Identity(creator.mspid, creator.id_bytes).x509.subject
    [name] = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return creator.mspid, str(name.value)


# Changes


def with_organisation(config: Any, msp_id: str, group: Any, standing: Standing) -> bytes:
    """Envelope, not signed yet, of the change by which an organisation joins."""

    def change(section: Any) -> None:
        section.groups[msp_id].CopyFrom(group)
        if standing is Standing.AUDITOR:
            _let_readers_ask(config.channel_group.groups[APPLICATION], section)

    return _update(config, change)


def without_organisation(config: Any, msp_id: str) -> bytes:
    """Envelope, not signed yet, of the change by which an organisation leaves."""
    return _update(config, lambda section: section.groups.pop(msp_id))


def _update(config: Any, change: Callable[[Any], object]) -> bytes:
    """What is in the section in its new version stays, what is not is taken away; versions say what is meant."""
    channel = config.channel_group
    update = configtx_pb2.ConfigUpdate(channel_id=CHANNEL)
    for written in (update.read_set, update.write_set):
        written.version = channel.version
        written.groups[APPLICATION].CopyFrom(_versions(channel.groups[APPLICATION]))
    section = update.write_set.groups[APPLICATION]
    section.version += 1
    change(section)
    envelope = configtx_pb2.ConfigUpdateEnvelope(config_update=update.SerializeToString())
    header = common_pb2.ChannelHeader(type=common_pb2.HeaderType.CONFIG_UPDATE, channel_id=CHANNEL)
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=header.SerializeToString()), data=envelope.SerializeToString()
    )
    written_out: bytes = common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString()
    return written_out


def _versions(group: Any) -> Any:
    """The members of a group without what is in them."""
    found = configtx_pb2.ConfigGroup(version=group.version, mod_policy=group.mod_policy)
    for kind in ("groups", "values", "policies"):
        for name, member in getattr(group, kind).items():
            getattr(found, kind)[name].version = member.version
    return found


def _let_readers_ask(before: Any, section: Any) -> None:
    known = before.values["ACLs"] if "ACLs" in before.values else None
    rules = configuration_pb2.ACLs.FromString(known.value if known else b"")
    if all(rules.acls[name].policy_ref == READERS for name in FOR_READERS):
        return
    for name in FOR_READERS:
        rules.acls[name].policy_ref = READERS
    new = configtx_pb2.ConfigValue(
        version=known.version + 1 if known else 0, mod_policy=ADMINS, value=rules.SerializeToString()
    )
    section.values["ACLs"].CopyFrom(new)


def organisation_group(msp_id: str, msp: Path, gateway: str, standing: Standing) -> Any:
    """What the channel says of an organisation: its authorities, from its MSP folder, and what its identities may.

    The administrator of an auditor may send transactions: that is how an organisation says which chaincode its peer
    runs. Its clients may not.
    """
    role = msp_principal_pb2.MSPRole
    writers = (role.ADMIN,) if standing is Standing.AUDITOR else (role.ADMIN, role.CLIENT)
    policies = {
        "Readers": (role.ADMIN, role.PEER, role.CLIENT),
        "Writers": writers,
        ADMINS: (role.ADMIN,),
        "Endorsement": (role.PEER,),
    }
    anchor = configuration_pb2.AnchorPeer(host=gateway.rpartition(":")[0], port=int(port_of(gateway)))
    values = {
        "MSP": _authorities(msp_id, msp),
        "AnchorPeers": configuration_pb2.AnchorPeers(anchor_peers=[anchor]),
    }
    group = configtx_pb2.ConfigGroup(mod_policy=ADMINS)
    for name, roles in policies.items():
        policy = policies_pb2.Policy(type=policies_pb2.Policy.SIGNATURE, value=_any_of(msp_id, roles))
        group.policies[name].CopyFrom(configtx_pb2.ConfigPolicy(mod_policy=ADMINS, policy=policy))
    for name, value in values.items():
        group.values[name].CopyFrom(configtx_pb2.ConfigValue(mod_policy=ADMINS, value=value.SerializeToString()))
    return group


def _any_of(msp_id: str, roles: Sequence[int]) -> bytes:
    principals = [
        msp_principal_pb2.MSPPrincipal(
            principal=msp_principal_pb2.MSPRole(msp_identifier=msp_id, role=each).SerializeToString()
        )
        for each in roles
    ]
    rules = [policies_pb2.SignaturePolicy(signed_by=index) for index in range(len(roles))]
    rule = policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=1, rules=rules))
    written: bytes = policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=principals).SerializeToString()
    return written


def _authorities(msp_id: str, msp: Path) -> Any:
    """`MSPConfig` of a folder as `cryptogen` makes it: one authority, roles by organisational units."""
    [authority] = (msp / "cacerts").iterdir()
    [tls_authority] = (msp / "tlscacerts").iterdir()
    root = authority.read_bytes()
    units = {
        f"{name}_ou_identifier": msp_config_pb2.FabricOUIdentifier(
            certificate=root, organizational_unit_identifier=name
        )
        for name in ("client", "peer", "admin", "orderer")
    }
    content = msp_config_pb2.FabricMSPConfig(
        name=msp_id,
        root_certs=[root],
        tls_root_certs=[tls_authority.read_bytes()],
        crypto_config=msp_config_pb2.FabricCryptoConfig(
            signature_hash_family="SHA2", identity_identifier_hash_function="SHA256"
        ),
        fabric_node_ous=msp_config_pb2.FabricNodeOUs(enable=True, **units),
    )
    return msp_config_pb2.MSPConfig(type=0, config=content.SerializeToString())
