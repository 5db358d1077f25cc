"""Who is told what, how often, and in which language."""

import datetime as dt
from smtplib import SMTPException
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from apps.accounts.choices import MemberRole, MemberState
from apps.accounts.models import Membership, User
from apps.notifications.choices import DeliveryState, Severity
from apps.notifications.kinds import NoticeKind, register_kind
from apps.notifications.models import Delivery, MailChoice, Notice
from apps.notifications.services import letters
from apps.notifications.services.letters import LEASE, MOST_ATTEMPTS, pause_after, send_due
from apps.notifications.services.notices import Matter, end, tell
from tests.factories import MembershipFactory, UserFactory
from tests.notifications.conftest import ONCE, STANDING, People

pytestmark = pytest.mark.django_db


def box(people: People, number: int = 1) -> Matter:
    return Matter(people.utility.pk, f"box {number}", {"name": f"Box {number}"}, f"/fleet/{number}/")


def later(**by: float) -> None:
    """As if so much time had passed."""
    for delivery in Delivery.objects.filter(state=DeliveryState.WAITING):
        Delivery.objects.filter(pk=delivery.pk).update(due_at=delivery.due_at - dt.timedelta(**by))


def states() -> list[tuple[str, int]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "attempts"))


def test_staff_hear_of_it_once_and_that_it_is_over(people: People, settings: Any) -> None:
    settings.SITE_URL = "https://market.example"
    for _ in range(3):
        tell(STANDING, [box(people)])
    assert send_due() == 1
    assert send_due() == 0
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["clerk@example.org"], "Silence of Box 1")
    assert "Box 1 is silent.\nhttps://market.example/fleet/1/\n" in sent.body
    end(STANDING, ["box 1", "box 2"])
    end(STANDING, ["box 1"])
    assert send_due() == 1
    assert (mail.outbox[1].subject, "Box 1 is back." in mail.outbox[1].body) == ("Over: Silence of Box 1", True)
    tell(STANDING, [box(people)])
    assert send_due() == 1
    assert Notice.objects.count() == 2


def test_what_does_not_stand_is_told_each_time_to_who_acts_for_the_party(people: People) -> None:
    tell(ONCE, [Matter(people.customer.pk, values={"name": "Alice"})])
    tell(ONCE, [Matter(people.customer.pk, values={"name": "Alice"})])
    send_due()
    assert [(sent.to, sent.subject) for sent in mail.outbox] == [
        (["alice@example.org"], "2 notices from the energy market"),
    ]
    assert mail.outbox[0].body.count("Hello Alice") == 2


def test_each_person_reads_their_own_language(people: People) -> None:
    User.objects.filter(pk=people.alice.pk).update(language="es")
    german = UserFactory.make(email="bert@example.org", language="de")
    MembershipFactory.make(user=german, party=people.customer)
    tell(ONCE, [Matter(people.customer.pk, values={"name": "x"})])
    send_due()
    found = {sent.to[0]: sent.subject for sent in mail.outbox}
    assert found == {"alice@example.org": "Puntos de suministro", "bert@example.org": "Messlokationen"}


def test_strangers_and_people_not_confirmed_hear_nothing(people: People) -> None:
    MembershipFactory.make(party=people.utility, role=MemberRole.STAFF, state=MemberState.INVITED)
    MembershipFactory.make(party=people.utility, role=MemberRole.AUDITOR)
    inactive = MembershipFactory.make(party=people.utility, role=MemberRole.STAFF).user
    User.objects.filter(pk=inactive.pk).update(is_active=False)
    tell(STANDING, [box(people)])
    assert list(Delivery.objects.values_list("user", flat=True)) == [people.clerk.pk]


def test_who_has_left_meanwhile_is_not_told_any_more(people: People) -> None:
    tell(STANDING, [box(people)])
    Membership.objects.filter(user=people.clerk).update(state=MemberState.ENDED)
    send_due()
    assert (mail.outbox, states()) == ([], [("dropped", 1)])
    end(STANDING, ["box 1"])
    assert Delivery.objects.count() == 1


def test_people_choose_what_they_get(people: People) -> None:
    quiet = register_kind(NoticeKind("test.quiet", "quiet", "Q", "q", Severity.INFO, STANDING.audience, by_mail=False))
    MailChoice.objects.create(user=people.clerk, kind="test.standing", is_wanted=False)
    tell(STANDING, [box(people)])
    tell(quiet, [box(people)])
    assert not Delivery.objects.exists()
    MailChoice.objects.create(user=people.clerk, kind="test.quiet", is_wanted=True)
    tell(quiet, [box(people)])
    assert Delivery.objects.get().notice.kind == "test.quiet"


def test_what_is_rolled_back_is_not_told(people: People) -> None:
    class Changed(Exception):
        pass

    with pytest.raises(Changed), transaction.atomic():
        tell(STANDING, [box(people)])
        raise Changed
    assert not Notice.objects.exists()
    assert send_due() == 0


def test_a_mail_server_that_is_away_is_asked_later_and_later(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise SMTPException("away")

    monkeypatch.setattr(letters, "send_mail", fail)
    tell(STANDING, [box(people)])
    waited = []
    for attempt in range(1, MOST_ATTEMPTS + 1):
        before = timezone.now()
        assert send_due() == 1
        assert send_due() == 0
        found = Delivery.objects.get()
        assert (found.attempts, found.error) == (attempt, "away")
        waited.append(round((found.due_at - before).total_seconds() / 60))
        later(hours=7)
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert states() == [("given_up", MOST_ATTEMPTS)]
    assert send_due() == 0
    assert pause_after(40) == dt.timedelta(hours=6)


def test_what_a_worker_took_and_never_finished_is_taken_again(people: People) -> None:
    tell(STANDING, [box(people)])
    assert len(letters._claim()) == 1
    assert send_due() == 0
    later(seconds=LEASE.total_seconds())
    assert send_due() == 1
    assert states() == [("sent", 2)]


def test_many_at_once_are_one_letter(people: People) -> None:
    tell(STANDING, [box(people, number) for number in range(120)])
    assert send_due() == 2
    assert [sent.subject for sent in mail.outbox] == [
        "100 notices from the energy market",
        "20 notices from the energy market",
    ]


def test_a_line_break_in_a_name_is_no_second_heading(people: People) -> None:
    tell(STANDING, [Matter(people.utility.pk, "x", {"name": "Box\nBcc: all@example.org"})])
    send_due()
    assert mail.outbox[0].subject == "Silence of Box Bcc: all@example.org"


def test_a_kind_has_a_key_of_its_own() -> None:
    assert register_kind(STANDING) is STANDING
    with pytest.raises(ValueError, match="another kind"):
        register_kind(NoticeKind("test.standing", "", "", "", STANDING.severity, STANDING.audience))
    with pytest.raises(ValueError, match="no key"):
        NoticeKind("Standing", "", "", "", STANDING.severity, STANDING.audience)
