"""Tell people and programs of something, in the transaction that makes it true."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.choices import MemberRole
from apps.accounts.models import Membership
from apps.accounts.permissions import acting, in_force
from apps.notifications.choices import Audience, DeliveryState, Stage
from apps.notifications.kinds import NoticeKind
from apps.notifications.models import Delivery, MailChoice, Notice, Webhook

_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Matter:
    """What is to be told to a party. `values` fill the kind's texts, `path` is the page that shows more."""

    party: int
    about: str = ""
    values: Mapping[str, str | int] = field(default_factory=dict)
    path: str = ""


@transaction.atomic
def tell(kind: NoticeKind, matters: Sequence[Matter]) -> None:
    """Tell each matter to those it concerns. One of a kind that stands is not told again until it is over."""
    if kind.stands:
        abouts = [matter.about for matter in matters]
        known = set(_standing(kind, abouts).values_list("about", flat=True))
        matters = [matter for matter in matters if matter.about not in known]
    rows = [
        Notice(
            kind=kind.key,
            about=matter.about,
            party_id=matter.party,
            values=dict(matter.values),
            path=matter.path,
            is_standing=kind.stands,
        )
        for matter in matters
    ]
    # Whoever tells the same at the same moment was first or comes second; either way it is told once.
    made = Notice.objects.bulk_create(rows, batch_size=_AT_ONCE, ignore_conflicts=kind.stands)
    if kind.stands:
        made = list(_standing(kind, [matter.about for matter in matters]))
    people, webhooks = addressees(kind, {notice.party_id for notice in made})
    _deliver(
        Delivery(notice=notice, stage=Stage.RAISED, due_at=notice.raised_at, **addressee)
        for notice in made
        for addressee in (
            *({"user_id": user} for user in people.get(notice.party_id, ())),
            *({"webhook_id": webhook} for webhook in webhooks.get(notice.party_id, ())),
        )
    )


@transaction.atomic
def end(kind: NoticeKind, abouts: Collection[str]) -> None:
    """What these notices told of is over: whoever was told of it hears that too."""
    now = timezone.now()
    ended = list(_standing(kind, abouts).select_for_update().values_list("pk", flat=True))
    Notice.objects.filter(pk__in=ended).update(is_standing=False, over_at=now)
    told = Delivery.objects.filter(notice__in=ended, stage=Stage.RAISED).exclude(state=DeliveryState.DROPPED)
    _deliver(
        Delivery(notice_id=notice, stage=Stage.OVER, user_id=user, webhook_id=webhook, due_at=now)
        for notice, user, webhook in told.values_list("notice", "user", "webhook")
    )


def addressees(kind: NoticeKind, parties: Collection[int]) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """By party: the people who get mail of this kind, and the webhooks that are called."""
    memberships = Membership.objects.filter(party__in=parties)
    if kind.audience == Audience.STAFF:
        memberships = in_force(memberships.filter(role=MemberRole.STAFF))
    else:
        memberships = acting(memberships)
    chosen = dict(MailChoice.objects.filter(kind=kind.key).values_list("user", "is_wanted"))
    people = _by_party(
        (party, user) for party, user in memberships.values_list("party", "user") if chosen.get(user, kind.by_mail)
    )
    hooks = Webhook.objects.filter(Q(kinds=[]) | Q(kinds__contains=[kind.key]), party__in=parties, is_active=True)
    return people, _by_party(hooks.values_list("party", "pk"))


def _by_party(pairs: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for party, addressee in pairs:
        found.setdefault(party, set()).add(addressee)
    return found


def _standing(kind: NoticeKind, abouts: Collection[str]) -> QuerySet[Notice]:
    return Notice.objects.filter(kind=kind.key, about__in=abouts, is_standing=True)


def _deliver(deliveries: Iterable[Delivery]) -> None:
    Delivery.objects.bulk_create(deliveries, batch_size=_AT_ONCE, ignore_conflicts=True)
