"""Let a box into the market: a code for it, the work of the installer, and the way back."""

import datetime as dt
from collections.abc import Iterable, Mapping

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.custody import seal
from apps.accounts.models import Party, User
from apps.accounts.services.parties import signer_of
from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.assets.services import reading_secret
from apps.ledger.ledgers import get_ledger
from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.exceptions import EnrolmentError
from apps.metering.models import Device, EnrolmentCode, FoundMeter
from apps.metering.services.devices import register_device, revoke_all
from apps.metering.services.instructions import instruct
from evidence.boxes import InstructionKind, code_id, new_code

VALID_HOURS = 72
# States in which the installer says what the meters measure.
ASSIGNABLE = (EnrolmentState.WAITING, EnrolmentState.CONFIGURED)


@transaction.atomic
def make_code(
    *,
    area: MarketArea,
    name: str,
    by: User,
    owner: Party | None = None,
    installer: User | None = None,
    points: Iterable[MeteringPoint] = (),
) -> EnrolmentCode:
    """A code with which one box can be enrolled, within `VALID_HOURS`. Without an `owner` it will be the utility's."""
    enrolment = EnrolmentCode(
        area=area, owner=owner or area.utility, name=name, made_by=by, installer=installer, **_fresh()
    )
    enrolment.save()
    enrolment.planned.set(points)
    return enrolment


def _fresh() -> dict[str, object]:
    code = new_code()
    expires = timezone.now() + dt.timedelta(hours=VALID_HOURS)
    return {"code_id": code_id(code), "sealed_code": seal(code.encode()), "expires_at": expires}


@transaction.atomic
def renew_code(enrolment: EnrolmentCode) -> EnrolmentCode:
    """Another code in the place of one that no box has used. Raises `EnrolmentError`."""
    locked = lock(enrolment)
    if locked.state != EnrolmentState.OPEN:
        raise EnrolmentError(_("A box has used the code already. Undo the enrolment to begin again."))
    for name, value in _fresh().items():
        setattr(locked, name, value)
    locked.save()
    return locked


def lock(enrolment: EnrolmentCode) -> EnrolmentCode:
    """The row as it stands, held until the transaction ends."""
    rows = EnrolmentCode.objects.select_for_update(of=("self",)).select_related("area__utility", "owner", "device")
    return rows.get(pk=enrolment.pk)


@transaction.atomic
def set_roles(enrolment: EnrolmentCode, roles: Mapping[int, str]) -> None:
    """What each meter measures, by its row. Raises `EnrolmentError`."""
    _assignable(enrolment)
    for meter in enrolment.meters.all():
        role = roles.get(meter.pk, MeterRole.NONE)
        if meter.role != role:
            meter.role, meter.point, meter.tested_at = role, None, None
            meter.save(update_fields=["role", "point", "tested_at"])


@transaction.atomic
def set_points(enrolment: EnrolmentCode, role: MeterRole, points: Mapping[int, MeteringPoint]) -> None:
    """Which metering point each meter with this role belongs to, by its row. Raises `EnrolmentError`."""
    _assignable(enrolment)
    meters = [meter for meter in enrolment.meters.filter(role=role) if meter.pk in points]
    if len({point.pk for point in points.values()}) < len(meters):
        raise EnrolmentError(_("Two meters cannot measure the same thing at one metering point."))
    # Freed first: two meters may change places.
    enrolment.meters.filter(role=role).update(point=None)
    for meter in meters:
        meter.point = points[meter.pk]
        meter.save(update_fields=["point"])


def _assignable(enrolment: EnrolmentCode) -> EnrolmentCode:
    locked = lock(enrolment)
    if locked.state not in ASSIGNABLE:
        raise EnrolmentError(_("Meters are assigned after the box has shown up and before it is live."))
    return locked


@transaction.atomic
def configure(enrolment: EnrolmentCode, by: User) -> Device:
    """Register the box and sign its settings: it fetches them and reads its meters. Again, with other meters.

    Raises `EnrolmentError`, and `Refused` when the contract does not let it in.
    """
    locked = _assignable(enrolment)
    used = _used_meters(locked)
    points = sorted({meter.point for meter in used if meter.point}, key=lambda point: bytes(point.ledger_id))
    secrets = _secrets(points)
    if locked.device is None:
        key = locked.public_key
        assert key is not None  # noqa: S101 a box that waits has shown its key
        locked.device = register_device(area=locked.area, owner=locked.owner, name=locked.name, key=key, points=points)
    elif set(locked.device.points.all()) != set(points):
        raise EnrolmentError(
            _("The ledger knows which metering points the box measures. For others, undo and begin with a new code.")
        )
    instruct(locked.device, InstructionKind.CONFIGURE, _settings(locked, used, secrets), by=by)
    locked.meters.update(tested_at=None)
    locked.state = EnrolmentState.CONFIGURED
    locked.save()
    return locked.device


def _used_meters(enrolment: EnrolmentCode) -> list[FoundMeter]:
    used = list(enrolment.meters.exclude(role=MeterRole.NONE).select_related("point__plant"))
    if not used:
        raise EnrolmentError(_("Say first what the meters measure: at least one has to measure something."))
    for meter in used:
        if meter.point is None:
            raise EnrolmentError(_("Say first to which metering point %(meter)s belongs.") % {"meter": meter})
        if meter.role == MeterRole.GENERATION and not hasattr(meter.point, "plant"):
            raise EnrolmentError(
                _("There is no plant at %(point)s whose generation could be measured.") % {"point": meter.point}
            )
    return used


def _secrets(points: Iterable[MeteringPoint]) -> dict[int, bytes]:
    """K of who occupies each point now."""
    current = Occupancy.objects.filter(point__in=points, until=None).exclude(sealed_secret=None)
    secrets = {occupancy.point_id: reading_secret(occupancy) for occupancy in current}
    for point in points:
        if point.pk not in secrets:
            raise EnrolmentError(_("Nobody occupies the metering point %(point)s now.") % {"point": point})
    return secrets


def _settings(enrolment: EnrolmentCode, used: list[FoundMeter], secrets: Mapping[int, bytes]) -> dict[str, object]:
    """The body of the configuration, with the keys of the box's settings."""
    device, area = enrolment.device, enrolment.area
    assert device is not None  # noqa: S101 it was registered just before
    genesis = get_ledger(device.owner.ledger).genesis()
    points: dict[int, dict[str, object]] = {}
    for meter in used:
        point = meter.point
        assert point is not None  # noqa: S101 as checked
        table = points.setdefault(point.pk, {"id": bytes(point.ledger_id).hex(), "secret": secrets[point.pk].hex()})
        table[meter.role] = meter.settings
    trusted = signer_of(area.utility).public_key
    market = {"name": "market", "kind": "market", "server": enrolment.server}
    ledger = {
        "name": "ledger",
        "kind": "ledger",
        "ledger": genesis.ledger.hex(),
        "market": genesis.market.hex(),
        "via": "relay",
        "server": enrolment.server,
    }
    return {
        "device": bytes(device.ledger_id).hex(),
        "destinations": [market, ledger],
        "time_zone": area.time_zone,
        "slot_minutes": area.slot_minutes,
        "points": list(points.values()),
        "trusted": [{"algorithm": int(trusted.algorithm), "x": trusted.x.hex(), "y": trusted.y.hex()}],
    }


@transaction.atomic
def go_live(enrolment: EnrolmentCode, by: User) -> None:
    """The installer has seen that the readings are right. Raises `EnrolmentError`."""
    locked = lock(enrolment)
    if locked.state == EnrolmentState.LIVE:
        return
    if locked.state != EnrolmentState.CONFIGURED or not is_tested(locked):
        raise EnrolmentError(_("The box goes live once it has read each of its meters without an error."))
    locked.state, locked.live_at, locked.live_by = EnrolmentState.LIVE, timezone.now(), by
    locked.save()


def is_tested(enrolment: EnrolmentCode) -> bool:
    """Whether each meter that measures something was read with the settings that the box got last."""
    return not enrolment.meters.exclude(role=MeterRole.NONE).filter(tested_at=None).exists()


@transaction.atomic
def undo(enrolment: EnrolmentCode, by: User) -> None:
    """Void the code; of a box that was registered already, revoke the keys and free its metering points."""
    locked = lock(enrolment)
    if locked.state == EnrolmentState.UNDONE:
        return
    if locked.device is not None:
        revoke_all(locked.device)
        _free_points(locked.device)
    locked.state, locked.undone_at, locked.undone_by = EnrolmentState.UNDONE, timezone.now(), by
    locked.sealed_code = None
    locked.save()


def _free_points(device: Device) -> None:
    """It measures nothing from the current slot on; what it has measured stays."""
    now = int(timezone.now().timestamp())
    slot = now - now % device.area.slot_seconds
    device.measurements.filter(until=None, since__lt=slot).update(until=slot)
    device.measurements.filter(until=None).delete()
