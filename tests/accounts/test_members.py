"""Staff ask, the customer decides: who acts for a customer, and who is told."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from apps.accounts.choices import MemberRole, MemberState
from apps.accounts.exceptions import MembershipError
from apps.accounts.invitations import VALID, invitation_of, token_of
from apps.accounts.models import Membership, Party, User
from apps.accounts.permissions import Action, Viewer
from apps.accounts.services import memberships
from tests.accounts.conftest import House, with_address
from tests.conftest import signed_in
from tests.factories import MembershipFactory, UserFactory

SITE = "https://market.example.org"
PEOPLE = ("alice", "bob", "outsider", "clerk", "holder")

Captured = Callable[..., object]


def asked(house: House, user: User, party: Party | None = None) -> Membership:
    return memberships.invite(user=user, party=party or house.customer, by=house.clerk, site=SITE)


def acts(user: User, party: Party) -> bool:
    return party.pk in Viewer(user).own and Viewer(user).may(Action.SELL, party)


def may_buy(user: User, party: Party) -> bool:
    """Whether the person may buy from the neighbours of a customer in the customer's name."""
    return party.utility_id in Viewer(user).neighbour_of


def link_in(text: object) -> str:
    found = re.search(rf"{SITE}(/invitations/\S+)", str(text))
    assert found is not None
    return found[1]


# --- asking ---


def test_a_person_who_is_asked_for_may_do_nothing_yet(house: House) -> None:
    friend = UserFactory.make()
    membership = asked(house, friend)
    assert membership.state == MemberState.INVITED
    assert not acts(friend, house.customer)
    assert not may_buy(friend, house.customer)
    assert not Viewer(friend).may(Action.VIEW_INVOICE, house.customer)


def test_a_clerk_who_asks_for_himself_gets_nothing(house: House) -> None:
    membership = asked(house, house.clerk)
    with pytest.raises(PermissionDenied):
        memberships.confirm(membership, by=house.clerk, site=SITE, own_household=True)
    with pytest.raises(PermissionDenied):
        memberships.refuse(membership, by=house.clerk, site=SITE)
    assert not acts(house.clerk, house.customer)
    assert not may_buy(house.clerk, house.customer)


@pytest.mark.parametrize("person", PEOPLE)
def test_only_who_acts_for_the_customer_decides(house: House, person: str) -> None:
    membership = asked(house, UserFactory.make())
    by = house.person(person)
    if person == "alice":
        memberships.confirm(membership, by=by, site=SITE)
    else:
        with pytest.raises(PermissionDenied):
            memberships.confirm(membership, by=by, site=SITE)
    membership.refresh_from_db()
    assert (membership.state == MemberState.CONFIRMED) is (person == "alice")


def test_the_invited_person_cannot_say_yes_either(house: House) -> None:
    friend = UserFactory.make()
    with pytest.raises(PermissionDenied):
        memberships.confirm(asked(house, friend), by=friend, site=SITE)


def test_after_the_yes_the_person_acts_and_it_is_noted_who_said_it(house: House) -> None:
    friend = UserFactory.make()
    membership = asked(house, friend)
    memberships.confirm(membership, by=house.alice, site=SITE)
    membership.refresh_from_db()
    assert acts(friend, house.customer)
    assert (membership.invited_by, membership.decided_by) == (house.clerk, house.alice)
    assert membership.decided_at is not None
    with pytest.raises(MembershipError):
        memberships.refuse(membership, by=house.alice, site=SITE)


def test_after_the_no_or_the_end_the_person_does_not_act_and_may_be_asked_for_again(house: House) -> None:
    friend = UserFactory.make()
    membership = asked(house, friend)
    memberships.refuse(membership, by=house.alice, site=SITE)
    with pytest.raises(MembershipError):
        memberships.confirm(membership, by=house.alice, site=SITE)
    assert not acts(friend, house.customer)
    again = asked(house, friend)
    with pytest.raises(MembershipError):
        asked(house, friend)
    memberships.confirm(again, by=house.alice, site=SITE)
    memberships.end(again, by=house.alice, site=SITE)
    assert not acts(friend, house.customer)
    with pytest.raises(MembershipError):
        memberships.end(again, by=house.alice, site=SITE)
    states = friend.memberships.order_by("pk").values_list("state", flat=True)
    assert list(states) == [MemberState.REFUSED, MemberState.ENDED]


def test_who_ceased_to_act_decides_nothing_more(house: House) -> None:
    membership = asked(house, UserFactory.make())
    memberships.end(house.alice.memberships.get(), by=house.alice, site=SITE)
    with pytest.raises(PermissionDenied):
        memberships.confirm(membership, by=house.alice, site=SITE)


def test_a_person_who_is_switched_off_neither_acts_nor_decides(house: House) -> None:
    User.objects.filter(pk=house.alice.pk).update(is_active=False)
    house.alice.refresh_from_db()
    assert not acts(house.alice, house.customer)
    Party.objects.filter(pk=house.customer.pk).update(email="home@example.org")
    membership = asked(house, UserFactory.make(), Party.objects.get(pk=house.customer.pk))
    with pytest.raises(PermissionDenied):
        memberships.confirm(membership, by=house.alice, site=SITE)


# --- people who work for the utility ---


def test_a_clerk_acts_for_the_own_household_once_it_says_so(house: House) -> None:
    membership = asked(house, house.clerk)
    with pytest.raises(MembershipError):
        memberships.confirm(membership, by=house.alice, site=SITE)
    assert not acts(house.clerk, house.customer)
    memberships.confirm(membership, by=house.alice, site=SITE, own_household=True)
    assert acts(house.clerk, house.customer)
    # And still says nothing about who else does.
    with pytest.raises(PermissionDenied):
        memberships.confirm(asked(house, UserFactory.make()), by=house.clerk, site=SITE)


def test_who_begins_to_work_for_the_utility_stops_acting_until_the_household_says_so(house: House) -> None:
    friend = UserFactory.make()
    membership = asked(house, friend)
    memberships.confirm(membership, by=house.alice, site=SITE)
    MembershipFactory.make(user=friend, party=house.utility, role=MemberRole.STAFF)
    assert not acts(friend, house.customer)
    assert house.utility.pk in Viewer(friend).staff_of
    memberships.confirm(membership, by=house.alice, site=SITE, own_household=True)
    assert acts(friend, house.customer)


def test_who_works_for_another_utility_is_a_person_like_any_other(house: House) -> None:
    MembershipFactory.make(user=house.outsider, party=house.outsider.memberships.get().party.utility, role="staff")
    membership = asked(house, house.outsider)
    memberships.confirm(membership, by=house.alice, site=SITE)
    assert acts(house.outsider, house.customer)


# --- a customer without anybody ---


def test_the_first_person_is_accepted_by_the_holder_of_the_address(
    house: House, django_capture_on_commit_callbacks: Captured
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        asked(house, house.holder, house.empty)
    (message,) = mail.outbox
    assert message.to == ["Home@example.org"]
    url = link_in(message.body)
    assert not acts(house.holder, house.empty)
    client = signed_in(house.holder)
    assert "act for Elm?" in client.get(url).content.decode()
    assert not acts(house.holder, house.empty)
    assert client.post(url, {"answer": "yes"}).status_code == 302
    assert acts(house.holder, house.empty)
    # Once only.
    membership = Membership.objects.get(party=house.empty)
    memberships.end(membership, by=house.holder, site=SITE)
    assert client.get(url).status_code == 410
    assert client.post(url, {"answer": "yes"}).status_code == 410
    assert not acts(house.holder, house.empty)


@pytest.mark.parametrize("person", ["alice", "bob", "outsider", "clerk"])
def test_the_link_is_of_no_use_to_anybody_else(house: House, person: str) -> None:
    membership = asked(house, house.person(person), house.empty)
    url = reverse("portal:invitation", args=[token_of(membership)])
    client = signed_in(house.person(person))
    assert client.get(url).status_code == 403
    assert client.post(url, {"answer": "yes"}).status_code == 403
    assert not acts(house.person(person), house.empty)
    assert Client().get(url).status_code == 302


def test_an_address_that_is_not_verified_opens_nothing(house: House) -> None:
    pretender = with_address("home@EXAMPLE.org", verified=False, user=UserFactory.make(email="p@example.org"))
    membership = asked(house, pretender, house.empty)
    assert signed_in(pretender).post(reverse("portal:invitation", args=[token_of(membership)])).status_code == 403


def test_a_clerk_who_holds_the_address_cannot_say_yes(house: House) -> None:
    customer = Party.objects.create(name="Oak", utility=house.utility, email="clerk@example.org")
    with_address("clerk@example.org", user=house.clerk)
    membership = asked(house, house.clerk, customer)
    response = signed_in(house.clerk).post(reverse("portal:invitation", args=[token_of(membership)]), {"answer": "yes"})
    assert response.status_code == 403
    assert not acts(house.clerk, customer)


def test_the_holder_says_of_a_clerk_that_they_share_the_household(house: House) -> None:
    membership = asked(house, house.clerk, house.empty)
    url, client = reverse("portal:invitation", args=[token_of(membership)]), signed_in(house.holder)
    assert "This person works for your utility." in client.get(url).content.decode()
    client.post(url, {"answer": "yes"})
    assert not acts(house.clerk, house.empty)
    client.post(url, {"answer": "household"})
    assert acts(house.clerk, house.empty)


def test_the_address_says_nothing_once_somebody_acts(house: House) -> None:
    membership = asked(house, UserFactory.make(), house.empty)
    MembershipFactory.make(user=house.bob, party=house.empty)
    url = reverse("portal:invitation", args=[token_of(membership)])
    assert signed_in(house.holder).post(url, {"answer": "yes"}).status_code == 403
    with pytest.raises(PermissionDenied):
        memberships.confirm(membership, by=house.holder, site=SITE)


def test_a_customer_without_person_and_address_cannot_be_asked(house: House) -> None:
    with pytest.raises(MembershipError):
        asked(house, house.bob, Party.objects.create(name="Oak", utility=house.utility))
    assert not Membership.objects.filter(party__name="Oak").exists()


def test_a_link_ends_after_its_time_when_changed_and_when_a_newer_one_is_sent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    membership = asked(house, house.holder, house.empty)
    token = token_of(membership)
    assert invitation_of(token) == membership
    with pytest.raises(MembershipError):
        invitation_of(token[:-1] + ("A" if token[-1] != "A" else "B"))
    later = (timezone.now() + VALID + timedelta(seconds=5)).timestamp()
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: later)
        with pytest.raises(MembershipError):
            invitation_of(token)
    memberships.ask_again(membership, by=house.clerk, site=SITE)
    with pytest.raises(MembershipError):
        invitation_of(token)
    membership.refresh_from_db()
    assert invitation_of(token_of(membership)) == membership
    memberships.refuse(membership, by=house.holder, site=SITE)
    with pytest.raises(MembershipError):
        invitation_of(token_of(membership))


@pytest.mark.parametrize("token", ["x", "a:b:c", "%00", "x" * 3000])
def test_a_link_that_is_not_ours_is_over(house: House, token: str) -> None:
    url = reverse("portal:invitation", args=["TOKEN"]).replace("TOKEN", token)
    assert signed_in(house.alice).get(url).status_code == 410


# --- messages ---


def told(captured: Captured, change: Callable[[], object]) -> dict[str, str]:
    """Who got a message, and what it says."""
    mail.outbox.clear()
    with captured(execute=True):  # type: ignore[attr-defined]
        change()
    assert all(len(message.to) == 1 for message in mail.outbox)
    return {message.to[0]: str(message.body) for message in mail.outbox}


def test_everybody_who_acts_is_told_of_question_answer_and_end(
    house: House, django_capture_on_commit_callbacks: Captured
) -> None:
    captured = django_capture_on_commit_callbacks
    User.objects.filter(pk=house.alice.pk).update(language="de")
    friend, alice = UserFactory.make(email="friend@example.org", name="Fred"), house.alice.email
    with translation.override("en"):
        messages = told(captured, lambda: asked(house, friend))
        assert set(messages) == {alice}
        assert "Fred (friend@example.org)" in messages[alice]
        assert "Until one of you says yes" not in messages[alice], "alice reads German"
        assert f"{SITE}/people/" in messages[alice]
        membership = friend.memberships.get()
        messages = told(captured, lambda: memberships.confirm(membership, by=house.alice, site=SITE))
        assert set(messages) == {alice, "friend@example.org"}
        assert "Alice confirmed it: Fred (friend@example.org) may act for Alder" in messages["friend@example.org"]
        third = UserFactory.make(email="third@example.org")
        assert set(told(captured, lambda: asked(house, third))) == {alice, "friend@example.org"}
        refused = third.memberships.get()
        messages = told(captured, lambda: memberships.refuse(refused, by=house.alice, site=SITE))
        assert set(messages) == {alice, "friend@example.org", "third@example.org"}
        messages = told(captured, lambda: memberships.end(membership, by=house.clerk, site=SITE))
        assert set(messages) == {alice, "friend@example.org"}
        assert "Clerk ended it" in messages["friend@example.org"]


# --- pages ---


def test_the_page_shows_who_acts_who_asked_and_lets_decide(house: House) -> None:
    client = signed_in(house.alice)
    asked(house, UserFactory.make(email="friend@example.org", name="Fred"))
    page = client.get("/people/").content.decode()
    for words in ("For you to decide", "Fred", "friend@example.org", "Asked by Clerk on", "may act for you"):
        assert words in page
    membership = Membership.objects.get(user__name="Fred")
    client.post(reverse("portal:confirm_member", args=[membership.pk]))
    assert acts(membership.user, house.customer)
    page = client.get("/people/").content.decode()
    assert "For you to decide" not in page
    assert "Confirmed by Alice on" in page
    client.post(reverse("portal:end_member", args=[membership.pk]))
    assert not acts(membership.user, house.customer)
    assert "Ended by Alice on" in client.get("/people/").content.decode()


def test_a_clerk_is_shown_as_one_and_confirmed_as_of_the_household_only(house: House) -> None:
    client, membership = signed_in(house.alice), asked(house, house.clerk)
    page = client.get("/people/").content.decode()
    assert "This person works for your utility." in page
    url = reverse("portal:confirm_member", args=[membership.pk])
    assert f"{url}?own_household=1" in page
    client.post(url)
    assert not acts(house.clerk, house.customer)
    client.post(f"{url}?own_household=1")
    assert acts(house.clerk, house.customer)


@pytest.mark.parametrize("person", ["bob", "outsider", "clerk"])
@pytest.mark.parametrize("name", ["confirm_member", "refuse_member", "end_member"])
def test_people_of_others_are_not_there(house: House, person: str, name: str) -> None:
    membership = asked(house, UserFactory.make())
    client = signed_in(house.person(person))
    assert client.post(reverse(f"portal:{name}", args=[membership.pk])).status_code == 404
    assert client.get(reverse(f"portal:{name}", args=[membership.pk])).status_code == 405
    membership.refresh_from_db()
    assert membership.state == MemberState.INVITED
    assert membership.user.email not in client.get("/people/").content.decode()


def test_who_waits_for_an_answer_reads_so(house: House) -> None:
    friend = UserFactory.make()
    asked(house, friend)
    client = signed_in(friend)
    for url in ("/", "/account/"):
        assert "Alder was asked whether you may act for them" in client.get(url).content.decode()


# --- the administration ---


def connect(house: House, user: User, party: Party, role: str = MemberRole.MEMBER) -> int:
    form = {"email": user.email, "party": party.pk, "role": role}
    return signed_in(house.clerk).post(reverse("admin:accounts_membership_add"), form).status_code


def test_a_clerk_in_the_administration_asks_and_ends_and_never_confirms(house: House) -> None:
    clerk, changelist = signed_in(house.clerk), reverse("admin:accounts_membership_changelist")
    assert connect(house, house.clerk, house.customer) == 302
    membership = Membership.objects.get(party=house.customer, user=house.clerk)
    assert (membership.state, membership.invited_by) == (MemberState.INVITED, house.clerk)
    assert not acts(house.clerk, house.customer)
    url = reverse("admin:accounts_membership_change", args=[membership.pk])
    assert "waiting for a yes" in clerk.get(url).content.decode()
    assert clerk.post(url, {"state": MemberState.CONFIRMED}).status_code == 403
    assert clerk.post(reverse("admin:accounts_membership_delete", args=[membership.pk])).status_code == 403
    asked_at = membership.invited_at
    clerk.post(changelist, {"action": "ask_again", "_selected_action": [membership.pk]})
    membership.refresh_from_db()
    assert membership.invited_at != asked_at
    clerk.post(changelist, {"action": "end", "_selected_action": [membership.pk]})
    membership.refresh_from_db()
    assert (membership.state, membership.ended_by) == (MemberState.ENDED, house.clerk)


def test_a_clerk_appoints_nobody_at_the_utility(house: House) -> None:
    before = Membership.objects.count()
    for role in MemberRole.values:
        connect(house, house.clerk, house.utility, role)
    mine = house.clerk.memberships.get()
    form = {"action": "end", "_selected_action": [mine.pk]}
    signed_in(house.clerk).post(reverse("admin:accounts_membership_changelist"), form)
    mine.refresh_from_db()
    assert (Membership.objects.count(), mine.state) == (before, MemberState.CONFIRMED)


def test_a_superuser_appoints_clerks_and_asks_customers_too(house: House) -> None:
    root = signed_in(User.objects.create_superuser("root@example.org", "root's password", name="Root"))
    url, new = reverse("admin:accounts_membership_add"), UserFactory.make()
    form = {"email": new.email, "party": house.utility.pk, "role": MemberRole.STAFF}
    assert root.post(url, form).status_code == 302
    assert new.memberships.get().state == MemberState.CONFIRMED
    assert root.post(url, form | {"party": house.customer.pk}, follow=True).status_code == 200
    assert new.memberships.count() == 1
    friend = UserFactory.make()
    root.post(url, {"email": friend.email, "party": house.customer.pk, "role": MemberRole.MEMBER})
    assert friend.memberships.get().state == MemberState.INVITED


def test_a_clerk_notes_the_address_of_a_customer_once(house: House) -> None:
    clerk, oak = signed_in(house.clerk), Party.objects.create(name="Oak", utility=house.utility)
    inline = {"keys-TOTAL_FORMS": 0, "keys-INITIAL_FORMS": 0}
    url = reverse("admin:accounts_party_change", args=[oak.pk])
    assert clerk.post(url, inline | {"email": "oak@example.org", "name": "Other"}).status_code == 302
    oak.refresh_from_db()
    assert (oak.email, oak.name) == ("oak@example.org", "Oak")
    assert clerk.post(url, inline | {"email": "clerk@example.org"}).status_code == 403
    # Nor where somebody acted once, so that it cannot be taken over after ending them.
    memberships.end(house.alice.memberships.get(), by=house.clerk, site=SITE)
    alder = reverse("admin:accounts_party_change", args=[house.customer.pk])
    assert clerk.post(alder, inline | {"email": "clerk@example.org"}).status_code == 403


def test_addresses_of_people_are_shown_to_their_own_utility_and_changed_by_nobody_else(house: House) -> None:
    root = signed_in(User.objects.create_superuser("root@example.org", "root's password"))
    for url in ("/admin/account/emailaddress/", "/admin/account/emailconfirmation/"):
        assert root.get(url).status_code == 404
    with_address("alice@example.org", user=house.alice)
    clerk = signed_in(house.clerk)
    page = clerk.get(reverse("admin:accounts_user_change", args=[house.alice.pk])).content.decode()
    assert "alice@example.org" in page
    assert clerk.get(reverse("admin:accounts_user_change", args=[house.outsider.pk])).status_code == 302


def test_what_is_forbidden_names_nobody(house: House) -> None:
    with pytest.raises(PermissionDenied) as refused:
        Viewer(house.bob).require(Action.SELL, house.customer)
    assert "bob" not in str(refused.value).lower()
    assert "@" not in str(refused.value)
