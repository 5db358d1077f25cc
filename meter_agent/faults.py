"""Errors that repeat: the first is loud, the rest quiet until it works again."""

import logging

log = logging.getLogger(__name__)


class Fault:
    """One thing that can fail for a long time, such as a meter that does not answer."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.reason = ""
        self.active = False

    def failed(self, reason: object) -> None:
        log.log(logging.DEBUG if self.active else logging.ERROR, "%s: %s", self.subject, reason)
        self.active, self.reason = True, str(reason)

    def cleared(self) -> None:
        if self.active:
            log.warning("%s: works again", self.subject)
        self.active = False
