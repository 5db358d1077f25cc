"""What there is to tell: each app registers its kinds of notices in `AppConfig.ready()`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise

from apps.notifications.choices import Audience, Severity, Stage

_KEY = re.compile(r"[a-z]+(\.[a-z_]+)+")


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """`subject`, `text` and `over` are translated lazily and take a notice's values as %(name)s.

    A kind with `over` stands: it is told once about the same thing until that is over, and then `over` is told.
    Without `by_mail`, people get it only if they ask for it.
    """

    key: str
    title: str | Promise
    subject: str | Promise
    text: str | Promise
    severity: Severity
    audience: Audience
    over: str | Promise = ""
    by_mail: bool = True

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is no key of a kind: app.name in lower-case letters.")

    @property
    def stands(self) -> bool:
        return bool(self.over)

    def subject_of(self, values: Mapping[str, object]) -> str:
        return str(self.subject) % values

    def text_of(self, stage: str, values: Mapping[str, object]) -> str:
        return str(self.over if stage == Stage.OVER else self.text) % values


_kinds: dict[str, NoticeKind] = {}


def register_kind(kind: NoticeKind) -> NoticeKind:
    """ValueError for a key that another kind has."""
    if _kinds.setdefault(kind.key, kind) != kind:
        raise ValueError(f"There is another kind of notices called {kind.key}.")
    return kind


def kinds() -> list[NoticeKind]:
    """In the order of their keys."""
    return [_kinds[key] for key in sorted(_kinds)]


def find_kind(key: str) -> NoticeKind | None:
    return _kinds.get(key)
