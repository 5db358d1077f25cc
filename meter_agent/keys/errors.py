"""What can go wrong with a key."""


class KeyFault(Exception):
    """The key cannot be used."""


class KeyFileError(KeyFault):
    """A file with a secret is missing, open to others, or holds something else."""


class KeyRefused(KeyFault):
    """What was asked for is not done with these keys; asking again changes nothing."""


class KeyUnavailable(KeyFault):
    """The key process or the TPM does not answer. Both may later."""
