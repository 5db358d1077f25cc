"""Send what waits: all that is due for one addressee at once goes into one letter."""

import datetime as dt
from collections.abc import Sequence
from smtplib import SMTPException

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from apps.accounts.models import User
from apps.accounts.permissions import Viewer
from apps.notifications.choices import Audience, DeliveryState, Stage
from apps.notifications.exceptions import DeliveryError
from apps.notifications.kinds import find_kind
from apps.notifications.models import Delivery
from apps.notifications.services.webhooks import call
from evidence import canonical

logger = structlog.get_logger(__name__)

MOST_IN_A_LETTER = 100
MOST_LETTERS = 200
# For so long nobody else tries what one worker is sending.
LEASE = dt.timedelta(minutes=5)
MOST_ATTEMPTS = 12
LONGEST_PAUSE = dt.timedelta(hours=6)


def send_due() -> int:
    """Send what is due, one letter after another; returns how many letters were tried."""
    for count in range(MOST_LETTERS):
        claimed = _claim()
        if not claimed:
            return count
        _send(claimed)
    return MOST_LETTERS


def pause_after(attempts: int) -> dt.timedelta:
    """One minute, then twice as long after each attempt."""
    return min(dt.timedelta(minutes=1 << (attempts - 1)), LONGEST_PAUSE)


@transaction.atomic
def _claim() -> list[Delivery]:
    now = timezone.now()
    due = Delivery.objects.filter(state=DeliveryState.WAITING, due_at__lte=now).order_by("due_at", "pk")
    due = due.select_for_update(skip_locked=True, of=("self",))
    first = due.first()
    if first is None:
        return []
    same = due.filter(user=first.user_id, webhook=first.webhook_id).select_related("notice", "user", "webhook")
    claimed = list(same[:MOST_IN_A_LETTER])
    for delivery in claimed:
        delivery.attempts += 1
        delivery.due_at = now + LEASE
    Delivery.objects.bulk_update(claimed, ["attempts", "due_at"])
    return claimed


def _send(claimed: Sequence[Delivery]) -> None:
    wanted = _still_wanted(claimed)
    _drop([delivery for delivery in claimed if delivery not in wanted])
    if not wanted:
        return
    first = wanted[0]
    try:
        if first.user is not None:
            _mail(first.user, wanted)
        elif first.webhook is not None:
            call(first.webhook.url, first.webhook.secret, body_of(wanted))
    except (DeliveryError, SMTPException, OSError) as error:
        _failed(wanted, str(error))
        return
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in wanted])
    rows.update(state=DeliveryState.SENT, sent_at=timezone.now(), error="")


def _still_wanted(claimed: Sequence[Delivery]) -> list[Delivery]:
    """Whoever has left a party since is not told its matters any more."""
    user, webhook = claimed[0].user, claimed[0].webhook
    kinds = [(delivery, find_kind(delivery.notice.kind)) for delivery in claimed]
    if user is None:
        return [delivery for delivery, kind in kinds if kind and webhook and webhook.is_active]
    viewer = Viewer(user)
    parties = {Audience.STAFF: viewer.staff_of, Audience.MEMBERS: viewer.own}
    return [delivery for delivery, kind in kinds if kind and delivery.notice.party_id in parties[kind.audience]]


def _drop(deliveries: Sequence[Delivery]) -> None:
    rows = Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])
    rows.update(state=DeliveryState.DROPPED)


def _failed(deliveries: Sequence[Delivery], error: str) -> None:
    now = timezone.now()
    for delivery in deliveries:
        delivery.error = error[:200]
        delivery.due_at = now + pause_after(delivery.attempts)
        if delivery.attempts >= MOST_ATTEMPTS:
            delivery.state = DeliveryState.GIVEN_UP
    Delivery.objects.bulk_update(deliveries, ["error", "due_at", "state"])
    logger.warning("notices_not_delivered", deliveries=[delivery.pk for delivery in deliveries])


def _mail(user: User, deliveries: Sequence[Delivery]) -> None:
    with translation.override(user.language):
        items = [_item(delivery) for delivery in deliveries]
        if len(items) == 1:
            subject = items[0]["subject"]
        else:
            subject = _("%(count)s notices from the energy market") % {"count": len(items)}
        text = render_to_string("notifications/mail.txt", {"items": items})
    # A heading is a single line, whatever a device is called.
    send_mail(" ".join(subject.split()), text, None, [user.email])


def _item(delivery: Delivery) -> dict[str, str]:
    """In the language that is switched on."""
    notice = delivery.notice
    kind = find_kind(notice.kind)
    assert kind is not None  # noqa: S101 others were dropped
    return {
        "id": str(delivery.pk),
        "kind": notice.kind,
        "severity": kind.severity.value,
        "stage": delivery.stage,
        "about": notice.about,
        "subject": _subject(delivery, kind.subject_of(notice.values)),
        "text": kind.text_of(delivery.stage, notice.values),
        "at": _instant(delivery),
        "link": f"{settings.SITE_URL}{notice.path}" if settings.SITE_URL and notice.path else "",
    }


def _subject(delivery: Delivery, subject: str) -> str:
    return _("Over: %(subject)s") % {"subject": subject} if delivery.stage == Stage.OVER else subject


def _instant(delivery: Delivery) -> str:
    notice = delivery.notice
    at = notice.over_at if delivery.stage == Stage.OVER and notice.over_at else notice.raised_at
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def body_of(deliveries: Sequence[Delivery]) -> bytes:
    """Canonical JSON, in the installation's language. An id that comes twice is the same notice."""
    with translation.override(settings.LANGUAGE_CODE):
        return canonical.dumps({"notices": [_item(delivery) for delivery in deliveries]})
