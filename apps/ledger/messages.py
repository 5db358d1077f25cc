"""What the contract's errors mean to the person who asked."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ledger_adapters.contract import Code

_REASONS = {
    Code.EXPIRED: gettext_lazy("The request came too late."),
    Code.WRONG_SIGNER: gettext_lazy("Another key is registered for you."),
    Code.BAD_SIGNATURE: gettext_lazy("The signature does not fit."),
    Code.PARTICIPANT_UNKNOWN: gettext_lazy("The party is not registered on the ledger yet."),
    Code.PARTICIPANT_INACTIVE: gettext_lazy("The party may not trade at the moment."),
    Code.PLANT_UNKNOWN: gettext_lazy("The plant is not registered on the ledger yet."),
    Code.PLANT_INACTIVE: gettext_lazy("The plant may not sell at the moment."),
    Code.MORE_THAN_DECLARED: gettext_lazy("More energy was offered than is there."),
    Code.MORE_THAN_OFFERED: gettext_lazy("Somebody else was faster: less energy is left than you asked for."),
    Code.OFFER_NOT_OPEN: gettext_lazy("The offer is closed."),
    Code.OFFER_OVER: gettext_lazy("The offer has run out of time."),
    Code.OWN_OFFER: gettext_lazy("You cannot buy your own offer."),
    Code.STILL_OPEN: gettext_lazy("The offer still sells."),
    Code.NOT_YET_MEASURED: gettext_lazy("The day is not over yet."),
    Code.VERSION_NOT_NEXT: gettext_lazy("Another version of this settlement is on the ledger already."),
    Code.IMPORT_OPEN: gettext_lazy("The market is moving to this ledger. Try again when it has arrived."),
    Code.LEDGER_CLOSED: gettext_lazy("The market is moving to another ledger. Try again when it has arrived."),
    Code.NUMBER_TAKEN: gettext_lazy("This number is on the ledger already."),
}


def reason(code: int) -> str:
    """In words where a person can do something about it, otherwise the rule's own name."""
    known = Code(code)
    return str(_REASONS.get(known) or _("The ledger's rule %(rule)s does not allow it.") % {"rule": known.name})
