class SettlementError(Exception):
    """A day cannot be settled; the message names what is missing."""
