"""From the market's chaincode to the verified invoice: what the adapter proves, on a network that runs."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fabric_protos.common import common_pb2, policies_pb2
from fabric_protos.msp import msp_principal_pb2
from fabric_protos.peer import policy_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from apps.ledger.services.proofs import log_of
from deploy.fabric.network import Network, NetworkError, check_programs
from evidence.bundle import FabricLog, Log, dump, load
from evidence.commands import Command, Fields, wallet_digest
from evidence.commands.kinds import RegisterParticipant
from evidence.keys import Algorithm, SoftwareKey
from evidence.verify import VerificationError, verify
from ledger_adapters.contract.records import Custody
from ledger_adapters.exceptions import LedgerError, Misconfigured, NotAgreed
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.fabric.gateway import BlocksRequest
from ledger_adapters.fabric.proofs import endorsers_of, ordered_block
from tests.fabric.recording import NO_ROLE, found, ledger_on, registration
from tests.spine.test_verifier_adversary import LEDGER, MARKET, Forgery, bobs_invoice, key_of, name

COMMUNITY = key_of("community").public_key
WALLET = SoftwareKey(Algorithm.SECP256K1, name("bob's wallet"))


@dataclass(frozen=True)
class Unfounded:
    network: Network
    ledger: FabricLedger


@pytest.fixture(scope="module")
def unfounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unfounded]:
    """A network of its own, for a market of its own."""
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("proofs")
    network = Network(folder / "network")
    network.start()
    try:
        ledger = ledger_on(network, folder / "keys")
        with closing(ledger.gateway):
            yield Unfounded(network, ledger)
    finally:
        network.stop()


@pytest.fixture(scope="module")
def ledger(unfounded: Unfounded) -> FabricLedger:
    found(unfounded.network, unfounded.ledger, COMMUNITY, (LEDGER, MARKET))
    return unfounded.ledger


def submit(ledger: FabricLedger, *commands: Command) -> bytes:
    transaction = ledger.prepare([command.envelope.encode() for command in commands])
    ledger.submit(transaction)
    return transaction.id


@pytest.mark.fabric
def test_a_ledger_is_founded_with_the_record_that_was_agreed_to(unfounded: Unfounded) -> None:
    network, ledger = unfounded.network, unfounded.ledger
    with pytest.raises(NotAgreed, match="nor to any other") as first:
        ledger.found(LEDGER, MARKET, COMMUNITY)
    assert first.value.digest.hex() in str(first.value)
    network.agree(bytes(32))
    with pytest.raises(NotAgreed, match="but to another") as second:
        ledger.found(bytes(32), bytes(32), COMMUNITY)
    assert second.value.digest == first.value.digest
    with pytest.raises(Misconfigured, match="other keys"):
        ledger.found(LEDGER, MARKET, SoftwareKey.generate().public_key)
    network.agree(first.value.digest)
    # One organisation that has not agreed is enough.
    agreed = network.folder / "community" / "genesis"
    digest = agreed.read_text(encoding="ascii")
    agreed.unlink()
    with pytest.raises(NotAgreed, match="CommunityMSP"):
        ledger.found(LEDGER, MARKET, COMMUNITY)
    agreed.write_text(digest, encoding="ascii")
    founded = ledger.found(bytes(32), bytes(32), COMMUNITY)
    assert (founded.ledger, founded.market) == (LEDGER, MARKET)


class OnChannel(Forgery):
    """Nothing is forged: the commands go to the chaincode, in two transactions, and bob signs with a wallet."""

    ledger: FabricLedger

    def _log(self, wanted: list[tuple[Fields, str]]) -> Log:
        commands = [self._signed(index, *one) for index, one in enumerate(wanted)]
        submit(self.ledger, *commands[:6])
        submit(self.ledger, *commands[6:])
        return log_of(self.ledger.prove([command.id for command in commands]))

    def _signed(self, index: int, fields: Fields, signer: str) -> Command:
        if isinstance(fields, RegisterParticipant) and fields.participant == name("bob"):
            key = WALLET.public_key
            fields = replace(fields, algorithm=key.algorithm, x=key.x, y=key.y, custody=Custody.OWN)
        command = Command(MARKET, name(f"nonce {index}"), fields)
        if signer == "bob":
            digest = wallet_digest(self.ledger.wallet_domain(), command)
            return replace(command, signatures=((WALLET.public_key.id, WALLET.sign(digest)),))
        return command.signed_by(LEDGER, key_of(signer)) if signer else command


@pytest.mark.fabric
def test_an_invoice_is_verified_by_what_both_organisations_endorsed(ledger: FabricLedger) -> None:
    invoice = bobs_invoice()
    on_channel = OnChannel(**{member: getattr(invoice, member) for member in invoice.__dataclass_fields__})
    on_channel.ledger = ledger
    bundle, trust = on_channel.bundle(), ledger.trust()
    report = verify(bundle, trust.encode())
    assert report.figures.total_minor > 0
    assert report.grades == {1: 350}
    assert "CommunityMSP and UtilityMSP have endorsed each" in report.checks[0].text
    log = load(bundle).log
    assert isinstance(log, FabricLog)
    assert len(log.blocks) == 2
    turned = replace(load(bundle), log=FabricLog(log.blocks[::-1]))
    with pytest.raises(VerificationError, match="channel's order"):
        verify(dump(turned), trust.encode())
    elsewhere = replace(trust, chaincode="other")
    with pytest.raises(VerificationError, match="chaincode 'market'"):
        verify(bundle, elsewhere.encode())


@pytest.mark.fabric
def test_only_what_was_applied_is_proven(ledger: FabricLedger) -> None:
    applied, rejected, unknown = registration(ledger), registration(ledger, NO_ROLE), registration(ledger)
    submit(ledger, applied, rejected)
    for command in (rejected, unknown):
        with pytest.raises(KeyError, match=command.id.hex()):
            ledger.prove([applied.id, command.id])
    assert ledger.prove([]).blocks == ()


@pytest.mark.fabric
def test_a_command_is_proven_where_it_was_applied(ledger: FabricLedger) -> None:
    """Not where it was refused before, nor where it was known already."""
    first = registration(ledger)
    second = replace(registration(ledger), after=first.id)
    for command in (second, first, second):
        at = submit(ledger, command)
    submit(ledger, second)
    (block,) = ledger.prove([second.id]).blocks
    (event,) = [e for e in ledger.events(0, 10_000).events if e.transaction == at]
    assert block.number == ledger.entries_before(event.position)


@pytest.mark.fabric
def test_what_comes_later_is_proven_too(ledger: FabricLedger) -> None:
    for _ in range(2):
        command = registration(ledger)
        submit(ledger, command)
        assert len(ledger.prove([command.id]).blocks) == 1


@pytest.mark.fabric
def test_those_who_are_trusted_are_those_of_the_channel(unfounded: Unfounded, ledger: FabricLedger) -> None:
    trust = ledger.trust()
    assert [each.msp for each in trust.endorsers] == ["CommunityMSP", "UtilityMSP"]
    assert [each.msp for each in trust.orderers] == ["OrdererMSP"]
    assert (trust.ledger, trust.market, trust.channel, trust.chaincode) == (LEDGER, MARKET, "market", "market")


@pytest.mark.fabric
def test_a_block_that_does_not_fit_its_header_is_no_proof(ledger: FabricLedger) -> None:
    command = registration(ledger)
    at = submit(ledger, command)
    (proven,) = ledger.prove([command.id]).blocks
    block = block_of(ledger, proven.number)
    assert ordered_block(block, {at: [command.id]}) == proven
    block.header.data_hash = bytes(32)
    with pytest.raises(LedgerError, match="do not fit its header"):
        ordered_block(block, {at: [command.id]})
    block = block_of(ledger, proven.number)
    metadata = common_pb2.Metadata(signatures=[common_pb2.MetadataSignature(identifier_header=b"1", signature=b"s")])
    block.metadata.metadata[common_pb2.BlockMetadataIndex.SIGNATURES] = metadata.SerializeToString()
    with pytest.raises(LedgerError, match="without their certificates"):
        ordered_block(block, {at: [command.id]})


def block_of(ledger: FabricLedger, number: int) -> Any:
    request = BlocksRequest.build(ledger.identity.identity, ledger.options.channel, number, number)
    with ledger.gateway.blocks(request.sign(ledger.identity)) as blocks:
        return blocks.next(10)


# Endorsement policies


def definition(needed: int, *principals: Any, parameter: bytes | None = None) -> bytes:
    rules = [policies_pb2.SignaturePolicy(signed_by=index) for index in range(len(principals))]
    rule = policies_pb2.SignaturePolicy(n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=needed, rules=rules))
    policy = policies_pb2.SignaturePolicyEnvelope(rule=rule, identities=principals)
    written = policy_pb2.ApplicationPolicy(signature_policy=policy).SerializeToString()
    result: bytes = lifecycle_pb2.QueryChaincodeDefinitionResult(
        validation_parameter=written if parameter is None else parameter
    ).SerializeToString()
    return result


def principal(msp: str, role: int = msp_principal_pb2.MSPRole.PEER) -> Any:
    content = msp_principal_pb2.MSPRole(msp_identifier=msp, role=role).SerializeToString()
    return msp_principal_pb2.MSPPrincipal(principal=content)


def test_a_policy_says_who_must_have_endorsed() -> None:
    assert endorsers_of(definition(2, principal("A"), principal("B"))) == {"A", "B"}
    assert endorsers_of(definition(1, principal("A"))) == {"A"}


def test_policies_that_a_proof_could_not_show_are_named() -> None:
    by_reference = policy_pb2.ApplicationPolicy(channel_config_policy_reference="/Channel/Application/Endorsement")
    client = principal("B", msp_principal_pb2.MSPRole.CLIENT)
    unit = msp_principal_pb2.MSPPrincipal(
        principal_classification=msp_principal_pb2.MSPPrincipal.ORGANIZATION_UNIT, principal=b""
    )
    for given in (
        definition(1, principal("A"), principal("B")),
        definition(0),
        definition(2, principal("A"), client),
        definition(2, principal("A"), unit),
        definition(0, parameter=by_reference.SerializeToString()),
    ):
        with pytest.raises(Misconfigured, match="CHAINCODE: its endorsement policy"):
            endorsers_of(given)
