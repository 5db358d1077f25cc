"""Which device measures what, and when."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.utils.translation import gettext as _

from apps.metering.exceptions import BatchRefused, Violation
from apps.metering.models import Measurement
from evidence.readings import Reading


def check_measured(measurements: Iterable[Measurement], content: Sequence[Reading]) -> list[bool] | None:
    """Whether each reading only informs; None where all of them count.

    Raises `BatchRefused` for readings of a register or a time that the device does not measure. The measurements are
    its own, read with the device locked: an exchange takes the same lock.
    """
    measured: dict[bytes, list[Measurement]] = defaultdict(list)
    limited = False
    for measurement in measurements:
        measured[bytes(measurement.point.ledger_id)].append(measurement)
        limited |= not measurement.is_unlimited
    if not limited:
        return None
    violations: list[Violation] = []
    backup = []
    for index, reading in enumerate(content):
        covering = [one for one in measured[reading.point] if one.covers(reading.register, reading.slot)]
        backup.append(all(one.is_backup for one in covering))
        if not covering:
            violations.append(_refusal(f"readings[{index}]", reading, measured[reading.point]))
    if violations:
        raise BatchRefused(*violations[:20])
    return backup if any(backup) else None


def _refusal(field: str, reading: Reading, own: Sequence[Measurement]) -> Violation:
    if any(not one.registers or reading.register in one.registers for one in own):
        return Violation(f"{field}.slot", "not_measured_then", _("The device did not measure this point at this time."))
    message = _("The device does not measure this register of the point.")
    return Violation(f"{field}.register", "other_register", message)
