"""`energymarket-verify bundle.json --trust anchors.json`: recompute an invoice from what meters signed.

Nothing is compared that can be computed: readings lead to shares, shares to energies, energies to lines and totals. The
trust anchors must come from somewhere else than the bundle.
"""

from evidence.trust import Trust
from evidence.verify.command_line import main
from evidence.verify.only_readings import verify_readings
from evidence.verify.report import Check, ReadingsReport, Report, VerificationError
from evidence.verify.verification import verify

__all__ = ["Check", "ReadingsReport", "Report", "Trust", "VerificationError", "main", "verify", "verify_readings"]
