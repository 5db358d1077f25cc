class MembershipError(Exception):
    """What was asked for is not possible; the message says why, in the reader's language."""
