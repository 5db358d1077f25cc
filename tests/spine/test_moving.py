"""A market moves to another ledger: what was bought and billed can be proven there, and everything goes on."""

import secrets
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from apps.assets.models import MeteringPoint
from apps.billing.models import Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.ledger.choices import CommandState
from apps.ledger.exceptions import Refused
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command, Event, Stream
from apps.ledger.services.founding import found_ledger, trust_anchors
from apps.ledger.services.migrate import NotSigned, migrate
from apps.ledger.services.reconcile import audit
from apps.ledger.services.replay import verify as replay
from apps.ledger.services.sweep import drain, sweep
from apps.offers import services as offers
from apps.offers.models import Offer, Purchase
from evidence.commands.kinds import CloseLedger
from evidence.keys import PublicKey, SoftwareKey
from evidence.trust import Trust
from evidence.verify import verify
from ledger_adapters.base import Limits, Transaction
from ledger_adapters.contract import Code
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.exceptions import OutcomeUnknown
from ledger_adapters.keys import KeyFolder
from ledger_adapters.moving import CannotMove, Move, Step
from tests.ledger.support import anchor, queue
from tests.portal.world import World, make_world

NEXT, THIRD = "next", "third"


@pytest.fixture
def world(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[World]:
    settings.LEDGERS = {
        alias: {
            "BACKEND": "ledger_adapters.embedded.adapter.EmbeddedLedger",
            "OPTIONS": {"STORE": "memory", "KEYS": tmp_path / alias},
        }
        for alias in (DEFAULT, NEXT, THIRD)
    }
    get_ledger.cache_clear()
    found_ledger(DEFAULT)
    yield make_world()
    get_ledger.cache_clear()


def keys(alias: str) -> KeyFolder:
    return KeyFolder(django_settings.LEDGERS[alias]["OPTIONS"]["KEYS"])


def found_for_the_market(alias: str) -> None:
    community = keys(alias).signer("community").public_key
    get_ledger(alias).found(secrets.token_bytes(32), get_ledger(DEFAULT).genesis().market, community)


def buy(world: World) -> Purchase:
    point = MeteringPoint.objects.get(pk=world.bob_point.pk)
    return offers.buy(offer=Offer.objects.get(pk=world.offer.pk), buyer=point.party, point=point, energy_wh=500)


def bundle_of(world: World) -> bytes:
    return evidence_bundle(Invoice.objects.get(pk=world.invoice.pk))


def assert_whole(alias: str) -> None:
    assert audit(alias) == []
    assert replay(alias).differences == ()


def test_a_market_goes_on_on_another_ledger(world: World) -> None:
    before = list(Command.objects.order_by("pk").values_list("command_id", "state", "code"))
    bundle, anchors = bundle_of(world), trust_anchors(DEFAULT)
    moved = migrate(DEFAULT, NEXT)
    assert moved.entries == Event.objects.filter(ledger=NEXT).exclude(origin=None).count() > len(before)
    assert moved.receipts == len(before)
    assert list(Command.objects.order_by("pk").values_list("command_id", "state", "code")) == before
    assert set(Stream.objects.values_list("ledger", flat=True)) == {NEXT}
    assert_whole(NEXT)
    # Old proofs stay valid, and new ones show the same.
    again = bundle_of(world)
    assert again != bundle
    assert verify(again, trust_anchors(NEXT)).figures == verify(bundle, anchors).figures
    purchase = buy(world)
    drain(NEXT)
    purchase.refresh_from_db()
    assert purchase.is_confirmed
    assert_whole(NEXT)


def test_after_a_second_move_each_entry_says_for_which_ledger_it_was_signed(world: World) -> None:
    migrate(DEFAULT, NEXT)
    buy(world)
    drain(NEXT)
    migrate(NEXT, THIRD)
    assert_whole(THIRD)
    verify(bundle_of(world), trust_anchors(THIRD))
    trust = Trust.from_bytes(trust_anchors(THIRD))
    assert [each.ledger for each in trust.old] == [get_ledger(alias).genesis().ledger for alias in (NEXT, DEFAULT)]


def test_a_move_that_is_broken_off_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three transactions one is not sent, and of one the answer is lost."""
    sent = 0
    really = EmbeddedLedger.submit

    def lose(ledger: EmbeddedLedger, transaction: Transaction) -> None:
        nonlocal sent
        sent += 1
        if sent % 3 == 0:
            raise OutcomeUnknown("not sent")
        really(ledger, transaction)
        if sent % 3 == 1:
            raise OutcomeUnknown("the answer was lost")

    monkeypatch.setattr(EmbeddedLedger, "submit", lose)
    monkeypatch.setattr(EmbeddedLedger, "limits", Limits(7, 100_000))
    moved = None
    while moved is None:
        assert sent < 100
        try:
            moved = migrate(DEFAULT, NEXT)
        except OutcomeUnknown:
            continue
    assert moved.receipts == Command.objects.count()
    assert_whole(NEXT)
    # Asked again once more, there is nothing left to do.
    assert migrate(DEFAULT, NEXT).receipts == 0


def test_what_meets_the_closed_ledger_is_refused_and_said(world: World) -> None:
    found_for_the_market(NEXT)
    step = Move(get_ledger(DEFAULT), get_ledger(NEXT)).next_step()
    assert step is not None and isinstance(step.command.fields, CloseLedger)
    (late,) = queue(anchor(1, 1))
    step.take(signing(step))
    with pytest.raises(Refused) as refused:
        queue(anchor(1, 2))
    assert refused.value.code is Code.LEDGER_CLOSED
    sweep(DEFAULT)
    assert Command.objects.get(command_id=late).state == CommandState.REJECTED
    assert migrate(DEFAULT, NEXT).refused == 1
    assert_whole(NEXT)


def signing(step: Step) -> Any:
    folder = keys(step.ledger.alias)
    parties: dict[PublicKey, SoftwareKey] = {
        key.public_key: key for key in (folder.signer("operator"), folder.signer("community"))
    }
    return lambda key, digest: parties[key].sign(digest)


def test_a_move_waits_for_what_is_on_its_way(world: World) -> None:
    (first,) = queue(anchor(1, 1))
    Stream.objects.filter(commands__command_id=first).update(parked_by=Command.objects.get(command_id=first))
    with pytest.raises(CannotMove, match="1 commands wait"):
        migrate(DEFAULT, NEXT)
    assert Move(get_ledger(DEFAULT), get_ledger(NEXT)).closing() is None


def test_a_ledger_of_another_market_or_in_use_is_refused(world: World) -> None:
    found_ledger(THIRD)
    with pytest.raises(CannotMove, match="different markets"):
        migrate(DEFAULT, THIRD)
    found_for_the_market(NEXT)
    used = get_ledger(NEXT)
    used.submit(used.prepare([b"no command"]))
    with pytest.raises(CannotMove, match="in use"):
        migrate(DEFAULT, NEXT)
    assert Move(get_ledger(DEFAULT), used).closing() is None


def test_the_community_agrees_to_each_step_by_itself(world: World, tmp_path: Path) -> None:
    """Its keys are elsewhere: what it signs, it has worked out from both ledgers."""
    found_for_the_market(NEXT)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for alias in (DEFAULT, NEXT):
        (tmp_path / alias / "community.pem").rename(elsewhere / f"{alias}.pem")
    for alias in (DEFAULT, NEXT, NEXT):
        with pytest.raises(NotSigned, match="has not agreed") as refused:
            migrate(DEFAULT, NEXT)
        with pytest.raises(CommandError, match="community's key is not"):
            told("agree")
        (elsewhere / f"{alias}.pem").rename(tmp_path / alias / "community.pem")
        signature = told("agree").splitlines()[-1]
        (tmp_path / alias / "community.pem").rename(elsewhere / f"{alias}.pem")
        place = Path(str(refused.value).split("prints to ")[1].split(",")[0])
        place.parent.mkdir(exist_ok=True)
        place.write_text("00" * 64, encoding="ascii")
        with pytest.raises(NotSigned, match="not a signature"):
            migrate(DEFAULT, NEXT)
        place.write_text(signature, encoding="ascii")
    assert "sealed for ever" in told("migrate")
    assert "nothing is left to agree to" in told("agree")


def told(action: str, to: str | None = NEXT) -> str:
    out = StringIO()
    call_command("ledger", action, to=to, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.parametrize("to", [None, DEFAULT])
@pytest.mark.parametrize("action", ["migrate", "agree"])
def test_the_target_is_named(action: str, to: str | None) -> None:
    with pytest.raises(CommandError, match="--to"):
        told(action, to)
