"""Where a batch came from, in words and as data."""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _

from apps.metering.choices import Grade
from apps.metering.models import Batch


class SourceKind(StrEnum):
    DEVICE = "device"
    IMPORT = "import"
    SUBSTITUTE = "substitute"


@dataclass(frozen=True, slots=True)
class Source:
    """`name` is the device, or who imported or answers for it; of substitutes also the rule, who decided, and why.

    `decided_by` is empty where the area's setting decided.
    """

    kind: SourceKind
    name: str
    rule: str = ""
    decided_by: str = ""
    reason: str = ""

    @property
    def words(self) -> str:
        if self.kind is SourceKind.DEVICE:
            return _("measured and signed by %(device)s") % {"device": self.name}
        if self.kind is SourceKind.IMPORT:
            return _("imported and signed by %(importer)s") % {"importer": self.name}
        if not self.rule:
            return _("substitute, signed by %(utility)s") % {"utility": self.name}
        return _("substitute (%(rule)s), decided by %(person)s: %(reason)s") % {
            "rule": self.rule,
            "person": self.decided_by or _("the area's setting"),
            "reason": self.reason,
        }


def source_of(batch: Batch) -> Source:
    """Needs the batch's device, importer and decision with its person."""
    if batch.device is not None:
        return Source(SourceKind.DEVICE, batch.device.name)
    importer = str(batch.importer)
    if batch.decision is not None:
        decision = batch.decision
        person = str(decision.decided_by) if decision.decided_by else ""
        return Source(SourceKind.SUBSTITUTE, importer, str(decision.get_rule_display()), person, decision.reason)
    kind = SourceKind.SUBSTITUTE if batch.grade == Grade.SUBSTITUTE else SourceKind.IMPORT
    return Source(kind, importer)
