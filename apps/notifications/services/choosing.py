"""Which mail a person wants."""

from collections.abc import Collection

from django.db import transaction

from apps.accounts.models import User
from apps.accounts.permissions import Viewer
from apps.notifications.choices import Audience
from apps.notifications.kinds import NoticeKind, kinds
from apps.notifications.models import MailChoice


def kinds_for(viewer: Viewer) -> list[NoticeKind]:
    """What the person could be told."""
    concerned = {Audience.STAFF: bool(viewer.staff_of), Audience.MEMBERS: bool(viewer.own)}
    return [kind for kind in kinds() if concerned[kind.audience]]


def wanted_by(user: User, among: Collection[NoticeKind]) -> set[str]:
    """The keys of the kinds that come by mail."""
    chosen = dict(MailChoice.objects.filter(user=user).values_list("kind", "is_wanted"))
    return {kind.key for kind in among if chosen.get(kind.key, kind.by_mail)}


@transaction.atomic
def choose(user: User, among: Collection[NoticeKind], wanted: Collection[str]) -> None:
    """Of the kinds `among`, the person wants just these by mail."""
    for kind in among:
        MailChoice.objects.update_or_create(user=user, kind=kind.key, defaults={"is_wanted": kind.key in wanted})
