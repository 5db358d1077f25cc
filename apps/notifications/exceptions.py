class DeliveryError(Exception):
    """A letter did not arrive; the message says why, without secrets."""
