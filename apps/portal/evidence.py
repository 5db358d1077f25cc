"""The evidence of single readings, for pages and the API: the version that is asked for, its proof, its bundle."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.accounts.models import PartyKey
from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import get_ledger
from apps.ledger.services.proofs import log_of
from apps.metering.exceptions import EvidenceError
from apps.metering.proofs import ShownLeaves, holders_of, shown_leaves, signed_batches
from apps.metering.readings import Stored
from apps.metering.versions import Version, day_versions
from apps.portal.selectors import first_days
from evidence import bundle
from market_math.slots import local_day


@dataclass(frozen=True, slots=True)
class ReadingProof:
    """A version of a reading with its leaf among those of its batch."""

    version: Version
    leaves: ShownLeaves


def find_version(
    viewer: Viewer, point: MeteringPoint, slot: int, register: int, number: int | None = None
) -> Version | None:
    """The version of a slot that stands, or the one of this number; None where there is none that may be seen."""
    day = local_day(slot, point.area.zone)
    first = first_days(viewer, [point]).get(point.pk)
    if first is not None and day < first:
        return None
    for version in day_versions(point, day):
        wanted = version.is_current if number is None else version.version == number
        if wanted and (version.slot, version.register) == (slot, register):
            return version
    return None


def prove(point: MeteringPoint, version: Version) -> ReadingProof:
    """Raises `EvidenceError` where the reading cannot be shown any more."""
    (leaves,) = shown_leaves(point, [_stored(point, version)])
    return ReadingProof(version, leaves)


def readings_bundle(point: MeteringPoint, versions: Iterable[Version]) -> bytes:
    """Readings for the verifier, as canonical JSON. Raises `EvidenceError` before they are on the ledger."""
    leaves = shown_leaves(point, [_stored(point, version) for version in versions])
    ids: set[bytes] = set()
    parties: set[int] = set()
    for one in leaves:
        anchor = one.batch.anchor
        if anchor is None or not anchor.is_confirmed:
            raise EvidenceError("the readings are not on the ledger yet")
        for holder in holders_of(one.batch):
            if holder.command_id is None:
                raise EvidenceError(f"{holder} was never put on the ledger")
            ids.add(bytes(holder.command_id))
        if one.batch.importer_id:
            parties.add(one.batch.importer_id)
    keys = PartyKey.objects.filter(party__in=parties, ledger_state=LedgerState.CONFIRMED).exclude(command_id=None)
    ids |= {bytes(command_id) for command_id in keys.values_list("command_id", flat=True) if command_id}
    log = log_of(get_ledger(point.area.utility.ledger).prove(ids))
    content = bundle.ReadingsBundle(
        bytes(point.area.ledger_id), bytes(point.ledger_id), log, tuple(signed_batches(leaves))
    )
    return bundle.dump_readings(content)


def _stored(point: MeteringPoint, version: Version) -> Stored:
    return Stored(point.pk, version.register, version.slot, version.value, version.quality, version.batch.pk)
