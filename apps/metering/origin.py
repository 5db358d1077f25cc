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
    """`name` is the device, or who imported or answers for it; `file` the kind of file or document that it came in.

    Of substitutes that were decided here also the rule, who decided - nobody where the area's setting did - and why.
    """

    kind: SourceKind
    name: str
    file: str = ""
    rule: str = ""
    decided_by: str = ""
    reason: str = ""

    @property
    def words(self) -> str:
        if self.kind is SourceKind.DEVICE:
            return _("measured and signed by %(device)s") % {"device": self.name}
        if self.kind is SourceKind.IMPORT:
            words = _("imported and signed by %(importer)s") % {"importer": self.name}
            return f"{words} ({self.file})" if self.file else words
        if not self.rule:
            return _("substitute, signed by %(utility)s") % {"utility": self.name}
        return _("substitute (%(rule)s), decided by %(person)s: %(reason)s") % {
            "rule": self.rule,
            "person": self.decided_by or _("the area's setting"),
            "reason": self.reason,
        }


def source_of(batch: Batch) -> Source:
    """Needs the batch's device, importer, import, and decision with its person."""
    if batch.device is not None:
        return Source(SourceKind.DEVICE, batch.device.name)
    importer = str(batch.importer)
    if batch.decision is not None:
        decision = batch.decision
        person = str(decision.decided_by) if decision.decided_by else ""
        rule = str(decision.get_rule_display())
        return Source(SourceKind.SUBSTITUTE, importer, rule=rule, decided_by=person, reason=decision.reason)
    kind = SourceKind.SUBSTITUTE if batch.grade == Grade.SUBSTITUTE else SourceKind.IMPORT
    file = "" if batch.brought_by is None else str(batch.brought_by.get_source_display())
    return Source(kind, importer, file)
