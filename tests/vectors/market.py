"""A small market with fixed keys, in a state where every kind of command can succeed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from evidence import eip712
from evidence.accumulators import chain_of
from evidence.commands import Batch, Command, Fields, batch_digest, parse, sign_digest, wallet_digest
from evidence.hashing import ZERO
from evidence.keys import Algorithm, PublicKey, SoftwareKey, from_der
from ledger_adapters.contract import Code, Genesis, Result, apply_batch, prepare
from ledger_adapters.contract.records import (
    Anchor,
    Auction,
    AuctionState,
    Custody,
    DailyEnergy,
    Declaration,
    Device,
    Invoice,
    Mode,
    Offer,
    OfferState,
    Order,
    Participant,
    Plant,
    Pricing,
    Purchase,
    Record,
    Role,
    Settlement,
    State,
    UsedKey,
)

DAY = 20_454  # 2026-01-01
NOW = DAY * 86_400 + 43_200
HOUR = 3_600


def ident(name: str) -> bytes:
    """A fixed id with a name that can be searched for in the generator."""
    return hashlib.sha256(f"energymarket vector {name}".encode()).digest()


class FixedKey(SoftwareKey):
    """A software key whose P-256 signatures are deterministic (RFC 6979), as those on secp256k1 already are."""

    def sign(self, digest: bytes) -> bytes:
        if self.algorithm is Algorithm.P256:
            return from_der(self.algorithm, self._p256.sign(digest, ec.ECDSA(Prehashed(SHA256()), True)))
        return super().sign(digest)


def p256(name: str) -> FixedKey:
    return FixedKey(Algorithm.P256, ident(f"key {name}"))


def secp256k1(name: str) -> FixedKey:
    return FixedKey(Algorithm.SECP256K1, ident(f"key {name}"))


LEDGER, MARKET = ident("ledger"), ident("market")
AREA, POINT, CONTENTS, BASIS = ident("area"), ident("point"), ident("contents"), ident("basis")
UTILITY, COMMUNITY = p256("utility"), p256("community")
# Alice's key is kept by the platform, Bob has a wallet, Carol is suspended.
ALICE, BOB, CAROL = p256("alice"), secp256k1("bob"), p256("carol")
METER, OLD_METER, NEW_METER = p256("meter"), p256("old meter"), p256("new meter")


def participant(key: SoftwareKey, state: State = State.ACTIVE, role: Role = Role.CUSTOMER) -> Participant:
    custody = Custody.OWN if key.algorithm is Algorithm.SECP256K1 else Custody.CUSTODIAL
    public = key.public_key
    return Participant(role, state, public.algorithm, public.x, public.y, custody, CONTENTS)


def plant(owner: str = "alice", state: State = State.ACTIVE) -> Plant:
    return Plant(AREA, ident(owner), POINT, state, 9_900, DAY - 30, CONTENTS)


def device(
    key: SoftwareKey = METER,
    *,
    state: State = State.ACTIVE,
    revoked_at: int = 0,
    old: SoftwareKey | None = None,
    old_revoked_at: int = 0,
) -> Device:
    """A device of Alice's. An `old` key speaks from ten days before `DAY` on, the current one from `DAY` on, and the
    grace ends in an hour.
    """
    public, before = key.public_key, old.public_key if old else PublicKey(0, ZERO, ZERO)
    since, old_since, grace = (DAY, DAY - 10, NOW + HOUR) if old else (0, 0, 0)
    return Device(
        ident("alice"), state, public.algorithm, public.x, public.y, since, revoked_at,
        before.algorithm, before.x, before.y, old_since, grace, old_revoked_at, CONTENTS,
    )  # fmt: skip


def declaration(mode: Mode, offered: int = 0) -> Declaration:
    """10 kWh of Alice's: metered until an hour ago, or expected from an hour from now on."""
    start, end = (NOW - 2 * HOUR, NOW - HOUR) if mode is Mode.METERED else (NOW + HOUR, NOW + 2 * HOUR)
    return Declaration(AREA, ident("plant"), ident("alice"), mode, start, end, 10_000, offered, BASIS)


def offer(
    of: str = "metered",
    *,
    committed: int = 1_000,
    open_until: int = NOW + 3 * HOUR,
    state: OfferState = OfferState.OPEN,
) -> Offer:
    return Offer(ident(of), 4_000, 120_000, committed, open_until, state)


def auction(orders_until: int = NOW + HOUR, state: AuctionState = AuctionState.OPEN, orders: int = 1) -> Auction:
    """Delivery tomorrow; the utility's own orders end half an hour before the others'."""
    start = NOW + 24 * HOUR
    head = chain_of([ident("order")] * orders)
    return Auction(
        AREA, Pricing.UNIFORM, state, start, start + HOUR, orders_until - HOUR // 2, orders_until, ident("terms"),
        orders, head, 0, 0, ZERO, ZERO,
    )  # fmt: skip


def records(*rows: tuple[Record, *tuple[bytes | int, ...]]) -> dict[bytes, bytes]:
    """State entries of records, each given with the ids that it is kept under."""
    return {record.key(*ids): record.encode() for record, *ids in rows}


_utility, _community = UTILITY.public_key, COMMUNITY.public_key
WORLD: Mapping[bytes, bytes] = records(
    (
        Genesis(
            LEDGER, MARKET, _utility.algorithm, _utility.x, _utility.y,
            _community.algorithm, _community.x, _community.y,
        ),
    ),
    (participant(ALICE), ident("alice")),
    (participant(BOB), ident("bob")),
    (participant(CAROL, State.SUSPENDED), ident("carol")),
    (participant(UTILITY, role=Role.UTILITY), ident("issuer")),
    (plant(), ident("plant")),
    (plant(state=State.SUSPENDED), ident("idle plant")),
    (device(), ident("device")),
    (device(state=State.SUSPENDED), ident("idle device")),
    (device(revoked_at=NOW - HOUR), ident("revoked device")),
    (device(old=OLD_METER), ident("rotated device")),
    (device(old=OLD_METER, old_revoked_at=NOW - HOUR), ident("device with old key revoked")),
    *(
        (UsedKey(NOW - 2 * HOUR), ident(name), key.public_key.id)
        for name, keys in {
            "device": (METER,),
            "idle device": (METER,),
            "revoked device": (METER,),
            "rotated device": (METER, OLD_METER),
            "device with old key revoked": (METER, OLD_METER),
        }.items()
        for key in keys
    ),
    (DailyEnergy(ident("report"), 5_000, 400, 3_100, METER.public_key.id), ident("device"), DAY - 1),
    (Anchor(NOW - 2 * HOUR, NOW - HOUR, 3, NOW - HOUR), AREA, DAY, ident("anchored root")),
    (declaration(Mode.METERED, offered=8_000), ident("metered")),
    (declaration(Mode.FORECAST, offered=4_000), ident("forecast")),
    (offer(), ident("offer")),
    (offer("forecast"), ident("forecast offer")),
    (offer(state=OfferState.WITHDRAWN), ident("withdrawn offer")),
    (offer(open_until=NOW - 1), ident("offer that is over")),
    (offer(committed=4_000), ident("sold offer")),
    (Purchase(ident("offer"), ident("bob"), POINT, 1_000, 120_000), ident("purchase")),
    (auction(), ident("auction")),
    (auction(NOW - 120), ident("auction that is over")),
    (auction(NOW - HOUR, AuctionState.CLEARED), ident("cleared auction")),
    (Order(ident("auction"), ident("bob"), ident("commitment"), 1), ident("order")),
    (Settlement(1, ident("first root")), AREA, DAY),
    (Invoice(ident("first document"), ZERO), ident("issuer"), ident("series"), 1),
)  # fmt: skip


def sign(command: Command, *signers: SoftwareKey) -> Command:
    """Signed as the contract expects it: EIP-712 by a key on the wallets' curve, the command's own digest by others."""
    signatures = tuple((key.public_key.id, key.sign(_digest(command, key))) for key in signers)
    return Command(command.market, command.nonce, command.fields, command.after, command.valid_until, signatures)


def _digest(command: Command, key: SoftwareKey) -> bytes:
    if key.algorithm is Algorithm.SECP256K1:
        return wallet_digest(eip712.Domain(LEDGER), command)
    return sign_digest(LEDGER, command)


def command(
    fields: Fields,
    *signers: SoftwareKey,
    nonce: str = "nonce",
    market: bytes = MARKET,
    after: bytes = ZERO,
    valid_until: int = 0,
) -> Command:
    return sign(Command(market, ident(nonce), fields, after, valid_until), *signers)


def batch(
    commands: Sequence[Command | bytes],
    operator: SoftwareKey | None = UTILITY,
    signed: Sequence[Command] | None = None,
) -> Batch:
    """Commands, or bytes that are none, with the signature of the operator, if there is one, over `signed` if given."""
    sent = [item if isinstance(item, Command) else parse(item) for item in commands]
    covered: Sequence[Command | None] = signed or sent
    envelopes = tuple(item.envelope.encode() if isinstance(item, Command) else item for item in commands)
    return Batch(envelopes, operator.sign(batch_digest(LEDGER, covered)) if operator else b"")


def run(state: Mapping[bytes, bytes], signed_batch: Batch, now: int) -> Result:
    """Apply a batch with exactly the reads that it declares; a further look at the state is a `KeyError`."""
    prepared = prepare(signed_batch)
    return apply_batch(prepared, {key: state.get(key) for key in prepared.reads}, now)


@dataclass
class Market:
    """A ledger held in memory, for tests that send one command after the other."""

    state: dict[bytes, bytes]
    now: int = NOW

    def send(self, *commands: Command | bytes, operator: SoftwareKey | None = UTILITY) -> Result:
        result = run(self.state, batch(commands, operator), self.now)
        self.state.update(result.writes)
        return result

    def code(self, *commands: Command | bytes, operator: SoftwareKey | None = UTILITY) -> Code:
        """The outcome of the last of `commands`."""
        return self.send(*commands, operator=operator).outcomes[-1].code
