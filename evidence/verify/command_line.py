"""What is typed and what is printed."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from evidence.bundle import is_of_readings
from evidence.readings import Grade, Unit
from evidence.verify.only_readings import verify_readings
from evidence.verify.report import ReadingsReport, Report, VerificationError
from evidence.verify.verification import verify

UNITS = {Unit.WH: "Wh", Unit.VARH: "varh"}


def main() -> int:
    """The console script; returns 0 when the bundle is valid, 1 when it is not."""
    parser = argparse.ArgumentParser(
        prog="energymarket-verify", description="Recompute an invoice, or readings alone, from their evidence."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trust", type=Path, required=True, help="trust anchors, from elsewhere than the bundle")
    options = parser.parse_args()
    bundle, trust = options.bundle.read_bytes(), options.trust.read_bytes()
    try:
        report = verify_readings(bundle, trust) if is_of_readings(bundle) else verify(bundle, trust)
    except VerificationError as error:
        print(f"REFUSED  {error}")
        return 1
    for check in report.checks:
        print(f"verified {check.name}: {check.text}")
    for line in _graded(report):
        print(line)
    return 0


def _graded(report: Report | ReadingsReport) -> Iterator[str]:
    if isinstance(report, ReadingsReport):
        for one in report.readings:
            start = datetime.fromtimestamp(one.slot, UTC)
            figure = f"{one.value} {UNITS[one.register.unit]}"
            yield f"{start:%Y-%m-%dT%H:%M:%SZ} {one.register.name.lower()}: {figure}, {_name(one.grade)}"
        return
    for grade, wh in report.grades.items():
        yield f"{_name(grade)}: {wh} Wh"


def _name(grade: int) -> str:
    return f"grade {int(grade)} ({Grade(grade).name.lower().replace('_', ' ')})"
