"""What the ledger's commands in a bundle say, by the ids in them."""

from dataclasses import dataclass, field
from typing import TypeVar

from evidence.commands import Command, sign_digest, wallet_digest
from evidence.commands.kinds import (
    AnchorReadings,
    CommitPurchase,
    DeclareSurplus,
    PublishOffer,
    RecordInvoice,
    RecordSettlement,
    RegisterDevice,
    RegisterParticipant,
    RegisterPlant,
    RevokeDeviceKey,
    RotateDeviceKey,
    RotateParticipantKey,
)
from evidence.eip712 import Domain
from evidence.keys import Algorithm, PublicKey
from evidence.trust import Trust
from evidence.verify.proven import Proven
from evidence.verify.report import VerificationError

T = TypeVar("T")


def known(place: str, records: dict[bytes, T], key: bytes, what: str) -> T:
    if key not in records:
        raise VerificationError(place, f"the {what} it names is not in the bundle")
    return records[key]


@dataclass
class Records:
    """Filled by `add`, in the ledger's order.

    `measured`: the metering points of a device. `rotated`, `revoked` and `entries` (of plants, and of anchors and
    settlements by root) tell which came first in the log.
    """

    trust: Trust
    participants: dict[bytes, tuple[int, PublicKey]] = field(default_factory=dict)
    devices: dict[bytes, list[PublicKey]] = field(default_factory=dict)
    measured: dict[bytes, frozenset[bytes]] = field(default_factory=dict)
    rotated: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    revoked: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    plants: dict[bytes, RegisterPlant] = field(default_factory=dict)
    anchors: dict[bytes, AnchorReadings] = field(default_factory=dict)
    declarations: dict[bytes, DeclareSurplus] = field(default_factory=dict)
    offers: dict[bytes, PublishOffer] = field(default_factory=dict)
    purchases: dict[bytes, CommitPurchase] = field(default_factory=dict)
    settlements: dict[bytes, RecordSettlement] = field(default_factory=dict)
    invoices: list[RecordInvoice] = field(default_factory=list)
    entries: dict[bytes, int] = field(default_factory=dict)

    def add(self, proven: Proven) -> None:
        place, command, entry = proven.place, proven.command, proven.entry
        fields = command.fields
        if command.market != self.trust.market:
            raise VerificationError(place, "the command is of another market")
        if isinstance(fields, RegisterParticipant):
            key = PublicKey(fields.algorithm, fields.x, fields.y)
            self._add(place, self.participants, fields.participant, (fields.role, key))
        elif isinstance(fields, RotateParticipantKey):
            role, _ = self.participant(place, fields.participant)
            self._check_person(proven, fields.participant)
            self.participants[fields.participant] = role, PublicKey(fields.algorithm, fields.x, fields.y)
        elif isinstance(fields, RegisterDevice | RotateDeviceKey | RevokeDeviceKey):
            self._add_device(proven, fields)
        elif isinstance(fields, RegisterPlant):
            self._add(place, self.plants, fields.plant, fields)
            self.entries[fields.plant] = entry
        elif isinstance(fields, AnchorReadings):
            self.anchors[fields.root] = fields
            self.entries[fields.root] = entry
        elif isinstance(fields, DeclareSurplus):
            self._add(place, self.declarations, fields.declaration, fields)
        elif isinstance(fields, PublishOffer):
            self._check_person(proven, fields.seller)
            self._add(place, self.offers, fields.offer, fields)
        elif isinstance(fields, CommitPurchase):
            self._check_person(proven, fields.buyer)
            self._add(place, self.purchases, fields.purchase, fields)
        elif isinstance(fields, RecordSettlement):
            self.settlements[fields.root] = fields
            self.entries[fields.root] = entry
        elif isinstance(fields, RecordInvoice):
            self.invoices.append(fields)

    def participant(self, place: str, participant: bytes) -> tuple[int, PublicKey]:
        """Role and key."""
        return known(place, self.participants, participant, "participant")

    def _add_device(self, proven: Proven, fields: RegisterDevice | RotateDeviceKey | RevokeDeviceKey) -> None:
        place, command = proven.place, proven.command
        if isinstance(fields, RevokeDeviceKey):
            self.revoked.setdefault((fields.device, fields.key), proven.entry)
            return
        key = PublicKey(fields.algorithm, fields.x, fields.y)
        if isinstance(fields, RegisterDevice):
            self._add(place, self.devices, fields.device, [key])
            self.measured[fields.device] = frozenset(fields.points)
            return
        keys = known(place, self.devices, fields.device, "device")
        _check_signature(place, command, keys[-1], sign_digest(self._domain(proven).ledger, command))
        keys.append(key)
        self.rotated[fields.device, key.id] = proven.entry

    @staticmethod
    def _add(place: str, records: dict[bytes, T], key: bytes, record: T) -> None:
        """The log's operator may have let in what the contract refuses; what came first must not be replaced."""
        if key in records:
            raise VerificationError(place, "what it registers is registered twice")
        records[key] = record

    def _check_person(self, proven: Proven, participant: bytes) -> None:
        domain, command = self._domain(proven), proven.command
        _, key = self.participant(proven.place, participant)
        is_wallet = key.algorithm == Algorithm.SECP256K1
        digest = wallet_digest(domain, command) if is_wallet else sign_digest(domain.ledger, command)
        _check_signature(proven.place, command, key, digest)

    def _domain(self, proven: Proven) -> Domain:
        """Of the ledger for which the command was signed."""
        try:
            return self.trust.domain_of(proven.origin)
        except KeyError:
            raise VerificationError(proven.place, "it was taken over from a ledger that is not trusted") from None


def _check_signature(place: str, command: Command, key: PublicKey, digest: bytes) -> None:
    signatures = command.signatures
    if len(signatures) != 1 or signatures[0][0] != key.id or not key.verifies(digest, signatures[0][1]):
        raise VerificationError(place, "the signature of the one who asked for it does not fit")
