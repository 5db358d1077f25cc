from apps.ledger.exceptions import Declined


class OfferError(Declined):
    """What was asked for is not possible; the message says why, in the reader's language."""
