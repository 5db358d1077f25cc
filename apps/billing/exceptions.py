class BillingError(Exception):
    """A period cannot be billed; the message says why."""
