"""Hyperledger Fabric as a ledger: the contract's core as chaincode, endorsed by every organisation of the market."""

import hashlib
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, Self

from cryptography import x509
from fabric_protos.peer.lifecycle.lifecycle_pb2 import QueryChaincodeDefinitionArgs

from evidence.commands import signed_batch
from evidence.fabric.identities import Role
from evidence.imports import signed_import
from evidence.keys import PublicKey, Signer
from evidence.trust import FabricTrust
from ledger_adapters.base import (
    LANE,
    ChannelProof,
    Event,
    Expiry,
    Health,
    Lane,
    LedgerAdapter,
    Limits,
    Page,
    Transaction,
)
from ledger_adapters.contract import Genesis, Outcome
from ledger_adapters.exceptions import Conflict, Misconfigured, NotAgreed, OutcomeUnknown, Rejected, Transient
from ledger_adapters.fabric.blocks import committed_transaction, outcomes_of_block
from ledger_adapters.fabric.chaincode.functions import MOST_SECONDS_OFF, NOT_AGREED
from ledger_adapters.fabric.chaincode.messages import MOST_KEYS, ReadResponse, SubmitResponse, join_keys
from ledger_adapters.fabric.configurations import (
    APPLICATION,
    ORDERER,
    configuration_blocks,
    configuration_of,
    organisations_of,
)
from ledger_adapters.fabric.gateway import (
    BlockingGateway,
    BlocksRequest,
    CommitError,
    CommitStatusError,
    CommitStatusRequest,
    Deadlines,
    EndorseError,
    EvaluateError,
    EventsError,
    GatewayError,
    IdentityFiles,
    Proposal,
    Retry,
    Signed,
    SigningIdentity,
    SubmitError,
    Target,
    Tls,
    ValidationCode,
)
from ledger_adapters.fabric.proofs import Prover, chaincode_definition, endorsers_of
from ledger_adapters.keys import KeyFolder

POSITIONS = 1 << 32  # per block
BLOCKS_AT_ONCE = 50
# A proposal that is older may be endorsed by one organisation and refused by the next, whose clock differs.
OLDEST_PROPOSAL = MOST_SECONDS_OFF - 15
# What the chaincode says to a proposal whose time it does not take.
OTHER_CLOCK = "off the clock of this organisation"


@dataclass(frozen=True, slots=True)
class Options:
    """`OPTIONS` of a Fabric ledger in `LEDGERS`.

    `address` is a peer's of the own organisation, `msp_id`, `certificate` and `private_key` who acts; `tls_ca` has the
    certificates that sign the peer's, `server_name` the name in it where that is not the host of the address.
    `warn_days` before a certificate ends, somebody is told.
    """

    address: str
    channel: str
    chaincode: str
    msp_id: str
    certificate: Path
    private_key: Path
    tls_ca: Path
    keys: Path
    server_name: str = ""
    operator: bool = True
    commands: int = 1_000
    bytes: int = 1_000_000
    wait: float = 30.0
    warn_days: float = 30.0

    @classmethod
    def read(cls, alias: str, options: Mapping[str, Any]) -> Self:
        """Raises `Misconfigured`, naming the setting."""
        where = f"LEDGERS[{alias!r}]['OPTIONS']"
        texts = ("ADDRESS", "CHANNEL", "CHAINCODE", "MSP_ID")
        paths = ("CERTIFICATE", "PRIVATE_KEY", "TLS_CA", "KEYS")
        others: dict[str, Any] = {"SERVER_NAME": str, "OPERATOR": bool, "COMMANDS": int, "BYTES": int}
        others |= {"WAIT": float, "WARN_DAYS": float}
        if surplus := set(options) - {*texts, *paths, *others}:
            raise Misconfigured(f"{where}: unknown {', '.join(sorted(surplus))}")
        for name in (*texts, *paths):
            if not options.get(name):
                raise Misconfigured(f"{where}: {name} is missing")
        for name in ("CERTIFICATE", "PRIVATE_KEY", "TLS_CA"):
            if not Path(options[name]).is_file():
                raise Misconfigured(f"{where}: {name}: there is no file {options[name]}")
        kinds = {**dict.fromkeys(texts, str), **dict.fromkeys(paths, Path), **others}
        try:
            return cls(**{name.lower(): kind(options[name]) for name, kind in kinds.items() if name in options})
        except (TypeError, ValueError) as error:
            raise Misconfigured(f"{where}: {error}") from None


class FabricLedger(LedgerAdapter):
    """A channel's chaincode, reached through the Gateway service of one's own organisation's peer."""

    is_remote = True
    in_blocks = True

    def __init__(
        self,
        alias: str,
        options: Options,
        identities: IdentityFiles,
        operator: Signer | None,
    ) -> None:
        super().__init__(alias, operator)
        self.options = options
        self.limits = Limits(options.commands, options.bytes)
        roots = options.tls_ca.read_bytes()
        self._roots_end = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(roots))
        target = Target(options.address, Tls(roots, options.server_name or None))
        self.gateway = BlockingGateway(target, Deadlines(commit_status=options.wait))
        self._identities = identities
        self._prover = Prover(self.gateway, identities.current, options.channel, self.events)

    @classmethod
    def check_options(cls, alias: str, options: Mapping[str, Any]) -> Hashable:
        chosen, _identities = cls._read(alias, options)
        return chosen.address, chosen.channel, chosen.chaincode

    @classmethod
    def from_options(cls, alias: str, options: Mapping[str, Any]) -> "FabricLedger":
        chosen, identities = cls._read(alias, options)
        operator = KeyFolder(chosen.keys).signer("operator") if chosen.operator else None
        return cls(alias, chosen, identities, operator)

    @staticmethod
    def _read(alias: str, options: Mapping[str, Any]) -> tuple[Options, IdentityFiles]:
        chosen = Options.read(alias, options)
        try:
            identities = IdentityFiles(chosen.msp_id, chosen.certificate, chosen.private_key)
        except (ValueError, TypeError) as error:
            raise Misconfigured(f"LEDGERS[{alias!r}]['OPTIONS']: CERTIFICATE or PRIVATE_KEY: {error}") from None
        try:
            x509.load_pem_x509_certificates(chosen.tls_ca.read_bytes())
        except ValueError as error:
            raise Misconfigured(f"LEDGERS[{alias!r}]['OPTIONS']: TLS_CA: {error}") from None
        return chosen, identities

    @property
    def identity(self) -> SigningIdentity:
        """Who acts: another one after each renewal."""
        return self._identities.current()

    def found(self, ledger: bytes, market: bytes, community: PublicKey) -> Genesis:
        """As with every ledger; but each organisation must have agreed to the record first.

        Until then it stays as a draft beside the keys, which further calls go on with. Raises `NotAgreed`.
        """
        try:
            self.read_genesis()
        except Misconfigured:
            if self.operator is None:
                raise
        else:
            return self.genesis()
        genesis = Genesis.of(ledger, market, self.operator.public_key, community)
        record = self._draft(genesis)
        try:
            self._finish(self._endorse(self._propose(b"found", record)))
        except Rejected as error:
            if NOT_AGREED not in str(error):
                raise
            digest = hashlib.sha256(record)
            raise NotAgreed(
                f"{error}: have every organisation write {digest.hexdigest()} to the --genesis-file of its chaincode "
                "server (on a local network `python -m deploy.fabric.network agree --genesis` does), then try again",
                digest.digest(),
            ) from error
        return self.genesis()

    def _draft(self, genesis: Genesis) -> bytes:
        """The record that others are asked to agree to, as it was first written."""
        path = self.options.keys / "genesis-draft"
        try:
            with path.open("xb") as file:
                file.write(genesis.encode())
        except FileExistsError:
            draft = Genesis.decode(path.read_bytes())
            if replace(draft, ledger=genesis.ledger, market=genesis.market) != genesis:
                raise Misconfigured(f"KEYS: {path} was written with other keys: remove it") from None
        return path.read_bytes()

    def read_genesis(self) -> Genesis:
        if (end := self.identity.identity.expires) <= datetime.now(UTC):
            raise Misconfigured(f"CERTIFICATE: expired on {end.isoformat()}")
        try:
            return Genesis.decode(self._evaluate(b"genesis"))
        except _Refused as refusal:
            raise Misconfigured(f"ledger {self.alias!r}: {refusal}: run `manage.py ledger init`") from None
        except Transient:
            self._check_chaincode()
            raise

    def _check_chaincode(self) -> None:
        """Peers that have just been started and a name that nobody knows look the same to the gateway."""
        name, channel = self.options.chaincode, self.options.channel
        arguments = (b"QueryChaincodeDefinition", QueryChaincodeDefinitionArgs(name=name).SerializeToString())
        try:
            self.gateway.evaluate(self._propose(*arguments, chaincode="_lifecycle"))
        except EvaluateError as error:
            if "is not defined" in str(error):
                raise Misconfigured(f"CHAINCODE: there is no {name} on channel {channel}") from error

    # Sending

    def prepare(self, envelopes: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        batch = signed_batch(self.genesis().ledger, envelopes, self.operator)
        proposal = self._propose(b"submit", batch.encode())
        return Transaction(bytes.fromhex(proposal.message.transaction_id), proposal.to_bytes())

    def prepare_import(self, start: int, entries: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        if self.operator is None:
            raise Misconfigured("OPERATOR: whoever only relays cannot take entries over")
        batch = signed_import(self.genesis().ledger, start, entries, self.operator)
        proposal = self._propose(b"import", batch.encode())
        return Transaction(bytes.fromhex(proposal.message.transaction_id), proposal.to_bytes())

    def submit(self, transaction: Transaction) -> None:
        """Returns when the transaction is in a block and valid."""
        proposal = Signed.from_bytes(Proposal, transaction.payload)
        age = time.time() - proposal.message.time.timestamp()
        if age > OLDEST_PROPOSAL:
            self._give_up(transaction, f"the proposal is {age:.0f} s old, and its time is that of the ledger")
            return
        try:
            self._finish(self._endorse(proposal))
        except Misconfigured as error:
            if proposal.message.creator == self.identity.identity.creator:
                raise
            self._give_up(transaction, f"who signed the proposal has been replaced since: {error}")

    def _give_up(self, transaction: Transaction, reason: str) -> None:
        """Raises `Conflict` unless the transaction is on the ledger already."""
        if self.outcome(transaction.id) is None:
            raise Conflict(reason)

    def _propose(self, *arguments: bytes | str, chaincode: str = "") -> Signed[Proposal]:
        """Of the market's chaincode unless another is named."""
        who, options = self.identity, self.options
        return Proposal.build(who.identity, options.channel, chaincode or options.chaincode, arguments).sign(who)

    def _endorse(self, proposal: Signed[Proposal]) -> "_Endorsed":
        try:
            transaction = self.gateway.endorse(proposal)
        except EndorseError as error:
            if error.duplicate:
                return _Endorsed(proposal.message, None)
            # A new proposal has another time.
            if error.retry is Retry.NEW_TRANSACTION or OTHER_CLOCK in str(error):
                raise Conflict(str(error)) from error
            if error.chaincode_response is not None:
                raise Rejected(str(error)) from error
            self._explain(error)
        # A transaction is signed by whom its proposal names, though somebody else acts by now.
        creator = self._identities.of(proposal.message.creator)
        if creator is None:
            raise Conflict("the identity that signed the proposal is no longer here")
        return _Endorsed(proposal.message, transaction.sign(creator))

    def _finish(self, endorsed: "_Endorsed") -> None:
        if endorsed.transaction is not None:
            try:
                self.gateway.submit(endorsed.transaction)
            except SubmitError as error:
                if "status=FORBIDDEN" in error.message:
                    raise Misconfigured(f"CERTIFICATE or MSP_ID: may read, but not send: {error}") from error
                if not error.outcome_unknown:
                    raise Rejected(str(error)) from error
                raise OutcomeUnknown(str(error)) from error
        who, proposal = self.identity, endorsed.proposal
        question = CommitStatusRequest.build(who.identity, proposal.channel, proposal.transaction_id)
        try:
            status = self.gateway.commit_status(question.sign(who))
            status.raise_if_invalid()
        except CommitStatusError as error:
            raise OutcomeUnknown(str(error)) from error
        except CommitError as error:
            if error.retry is Retry.NEW_TRANSACTION:
                raise Conflict(str(error)) from error
            raise Rejected(str(error)) from error

    @staticmethod
    def _explain(error: GatewayError) -> NoReturn:
        """What nobody can mend by waiting names the setting that it most likely comes from."""
        text = str(error)
        for part, setting in (
            ("CERTIFICATE_VERIFY_FAILED", "TLS_CA"),
            ("Hostname Verification Check failed", "SERVER_NAME or ADDRESS"),
            ("could not get last config for channel", "CHANNEL"),
        ):
            if part in text:
                raise Misconfigured(f"{setting}: {text}") from error
        if error.retry is not Retry.NONE:
            raise Transient(text) from error
        for part, setting in (
            ("creator", "CERTIFICATE, PRIVATE_KEY or MSP_ID"),
            ("access denied", "CERTIFICATE, PRIVATE_KEY or MSP_ID"),
            ("identity expired", "CERTIFICATE"),
            ("channel", "CHANNEL"),
            ("chaincode", "CHAINCODE"),
        ):
            if part in text:
                raise Misconfigured(f"{setting}: {text}") from error
        raise Transient(text) from error

    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        name = transaction_id.hex()
        question = self._propose("GetTransactionByID", self.options.channel, name, chaincode="qscc")
        try:
            found = committed_transaction(self.gateway.evaluate(question))
        except EvaluateError as error:
            if error.chaincode_response is not None and "no such transaction ID" in error.chaincode_response[1]:
                return None
            self._explain(error)
        if found.code != ValidationCode.VALID:
            raise Conflict(f"transaction {name} is on the ledger as invalid, code {found.code}")
        return SubmitResponse.decode(found.result).outcomes

    # Reading

    def _evaluate(self, *arguments: bytes) -> bytes:
        try:
            return self.gateway.evaluate(self._propose(*arguments))
        except EvaluateError as error:
            if error.chaincode_response is not None:
                raise _Refused(error.chaincode_response[1]) from error
            self._explain(error)

    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        wanted = list(keys)
        found: dict[bytes, bytes | None] = {}
        for start in range(0, len(wanted), MOST_KEYS):
            part = wanted[start : start + MOST_KEYS]
            values = ReadResponse.decode(self._evaluate(b"read", join_keys(part))).values
            found |= {key: value or None for key, value in zip(part, values, strict=True)}
        return found

    def entries_before(self, position: int) -> int:
        return position // POSITIONS

    def events(self, start: int, limit: int, mark: bytes = b"") -> Page:
        """Positions are block · 2^32 + index of the outcome in the block."""
        height = self._height()
        first = start // POSITIONS
        if first >= height:
            return Page((), start)
        last = min(height, first + BLOCKS_AT_ONCE) - 1
        found: list[Event] = []
        who = self.identity
        request = BlocksRequest.build(who.identity, self.options.channel, first, last)
        try:
            with self.gateway.blocks(request.sign(who)) as blocks:
                for block in blocks:
                    outcomes = outcomes_of_block(block, self.options.chaincode)
                    base = block.header.number * POSITIONS
                    events = [
                        Event(base + index, transaction, outcome)
                        for index, (transaction, outcome) in enumerate(outcomes)
                    ]
                    found += [event for event in events if event.position >= start]
                    if len(found) > limit:
                        return Page(tuple(found[:limit]), found[limit - 1].position + 1)
        except EventsError as error:
            self._explain(error)
        return Page(tuple(found), (last + 1) * POSITIONS)

    def _height(self) -> int:
        try:
            return self.gateway.chain_info(self.identity, self.options.channel).height
        except EvaluateError as error:
            self._explain(error)

    def prove(self, ids: Iterable[bytes]) -> ChannelProof:
        try:
            return self._prover.prove(ids, self.entries_before)
        except EventsError as error:
            self._explain(error)

    def trust(self) -> FabricTrust:
        """Who must endorse today, and who may order; with every authority that these ever had on the channel."""
        genesis, options = self.genesis(), self.options
        names = endorsers_of(self._ask_system(*chaincode_definition(options.chaincode)))
        configurations = self._configurations()
        members = organisations_of(configurations[:1], APPLICATION, Role.PEER, names)
        if strangers := names - set(members):
            raise Misconfigured(f"CHAINCODE: its policy names {', '.join(strangers)}, not of channel {options.channel}")
        members = organisations_of(configurations, APPLICATION, Role.PEER, names)
        orderers = organisations_of(configurations, ORDERER, Role.ORDERER)
        return FabricTrust(
            genesis.ledger,
            genesis.market,
            options.channel,
            options.chaincode,
            tuple(members[name] for name in sorted(names)),
            tuple(orderers[name] for name in sorted(orderers)),
            old=self.old_ledgers(),
        )

    def _configurations(self) -> list[Any]:
        """All that the channel ever had (`common.Config`), the latest first."""
        try:
            blocks = configuration_blocks(self.gateway, self.identity, self.options.channel)
            return [configuration_of(block).config for block in blocks]
        except (EvaluateError, EventsError) as error:
            self._explain(error)

    def _ask_system(self, chaincode: str, arguments: Sequence[str | bytes]) -> bytes:
        """A query of a chaincode that every peer brings along."""
        try:
            return self.gateway.evaluate(self._propose(*arguments, chaincode=chaincode))
        except EvaluateError as error:
            self._explain(error)

    def expiries(self) -> tuple[Expiry, ...]:
        """Of several certificates in TLS_CA, the first that ends counts."""
        ends = {"CERTIFICATE": self.identity.identity.expires, "TLS_CA": self._roots_end}
        before = timedelta(days=self.options.warn_days)
        return tuple(Expiry(setting, end, end - before) for setting, end in ends.items())

    def health(self) -> Health:
        return Health(self._height(), int(time.time()))


class _Refused(Exception):
    """The chaincode's own refusal of a query."""


@dataclass(frozen=True, slots=True)
class _Endorsed:
    """A proposal and what is to be ordered; nothing where it was ordered before."""

    proposal: Proposal
    transaction: Any
