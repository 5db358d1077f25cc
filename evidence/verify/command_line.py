"""What is typed and what is printed."""

import argparse
from pathlib import Path

from evidence.readings import Grade
from evidence.verify.report import VerificationError
from evidence.verify.verification import verify


def main() -> int:
    """The console script; returns 0 when the bundle is valid, 1 when it is not."""
    parser = argparse.ArgumentParser(prog="energymarket-verify", description="Recompute an invoice from its evidence.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--trust", type=Path, required=True, help="trust anchors, from elsewhere than the bundle")
    options = parser.parse_args()
    try:
        report = verify(options.bundle.read_bytes(), options.trust.read_bytes())
    except VerificationError as error:
        print(f"REFUSED  {error}")
        return 1
    for check in report.checks:
        print(f"verified {check.name}: {check.text}")
    for grade, wh in report.grades.items():
        print(f"grade {grade} ({Grade(grade).name.lower().replace('_', ' ')}): {wh} Wh")
    return 0
