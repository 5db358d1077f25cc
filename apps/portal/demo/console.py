"""What the demonstration's commands print besides their own lines."""

import logging


def hush() -> None:
    """Without this, every wake-up of a worker would be a line between ours."""
    logging.getLogger("django_structlog").setLevel(logging.WARNING)
