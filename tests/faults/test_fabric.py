"""Fabric with a run going on: its processes are killed, cut off, full or stopped, two organisations write at once."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction

from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Attempt, Event, Lane, Stream
from apps.ledger.services.enqueue import enqueue
from apps.ledger.services.figures import figures
from deploy.fabric.network import Network, NetworkError, check_programs
from evidence.commands import Fields, kinds
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import Custody, Mode, Pricing, Role
from ledger_adapters.exceptions import NotAgreed
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.fabric.gateway import Proposal, Signed
from ledger_adapters.fabric.identities import IdentityFolder
from tests.fabric.issuing import issue
from tests.faults.conftest import Use
from tests.faults.proxy import Proxy, proxy_to
from tests.faults.support import (
    PLACES,
    RECOVERY,
    Worker,
    assert_applied_once,
    left,
    limit_files,
    on_ledger,
    queue_some,
    say,
    soak_only,
    standing,
    sweeping,
    until,
    until_confirmed,
    until_reason,
)
from tests.ledger.support import end_leases, queue

pytestmark = pytest.mark.fabric

COMMUNITY = "community"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    network = Network(tmp_path_factory.mktemp("faults") / "network")
    network.start()
    try:
        yield network
    finally:
        network.stop()


@pytest.fixture(scope="module")
def keys(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the keys of the market on it are."""
    folder = tmp_path_factory.mktemp("market") / "keys"
    ledger = FabricLedger.from_options("test", options(network, "utility", folder))
    first = secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key
    try:
        ledger.found(*first)
    except NotAgreed as error:
        network.agree(error.digest)
        ledger.found(*first)
    ledger.gateway.close()
    return folder


def options(network: Network, organisation: str, keys: Path, **others: Any) -> dict[str, Any]:
    return {**network.description.options(organisation), "KEYS": str(keys), "WAIT": 8, **others}


@pytest.fixture
def whole(network: Network) -> Iterator[Network]:
    """The network, whole again for those who come after."""
    yield network
    network.start()


Open = Callable[..., FabricLedger]


@pytest.fixture
def ledger(use: Use, keys: Path, whole: Network) -> Open:
    """The market as this installation's ledger, through the utility's peer or as the options say."""

    def opened(organisation: str = "utility", alias: str = DEFAULT, **others: Any) -> FabricLedger:
        found = use(FabricLedger, options(whole, organisation, keys, **others), alias)
        assert isinstance(found, FabricLedger)
        return found

    return opened


KILLED = [
    pytest.param("peer-utility", "UNAVAILABLE", id="the-peer-that-is-asked"),
    pytest.param("orderer", "order", id="orderer"),
    pytest.param("chaincode-community", "chaincode", id="the-community's-chaincode"),
    pytest.param("peer-community", "", id="the-community's-peer", marks=soak_only),
    pytest.param("chaincode-utility", "chaincode", id="own-chaincode", marks=soak_only),
]


@pytest.mark.parametrize(("name", "reason"), KILLED)
def test_process_killed_and_restarted(name: str, reason: str, ledger: Open, whole: Network) -> None:
    ledger()
    ids = queue_some()
    with sweeping():
        until(lambda: left(ids) < len(ids), 30, "nothing moves")
        ids += queue_some(2)
        whole.kill(name)
        ids += queue_some(2)
        until_reason(reason)
        until(lambda: standing() != "no reason given", 30, "no reason is given")
        assert left(ids)
        whole.restart(name)
        say(f"{name} killed", until_confirmed(ids))
    assert_applied_once(ids)


@soak_only
def test_orderer_that_makes_no_blocks(ledger: Open, whole: Network) -> None:
    ledger()
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        with stopped(whole, "orderer"):
            late = queue_some()
            until_reason("DEADLINE_EXCEEDED")
            assert left(late) == len(late)
        say("orderer that hangs", until_confirmed(late))
    assert_applied_once(ids + late)


@contextmanager
def stopped(network: Network, name: str) -> Iterator[None]:
    """A process that neither answers nor ends."""
    process = network.processes.find(name)
    assert process is not None
    process.suspend()
    try:
        yield
    finally:
        process.resume()


WAYS: dict[str, tuple[Callable[[Proxy], None], str]] = {
    "refused": (Proxy.refuse, "UNAVAILABLE"),
    "hanging": (Proxy.hang, "DEADLINE_EXCEEDED"),
    "half-a-reply": (lambda proxy: proxy.cut(60), "UNAVAILABLE"),
}
CUTS = [pytest.param(*way, id=name) for name, way in WAYS.items()]


@pytest.mark.parametrize(("strike", "reason"), CUTS)
def test_network_cut_between_worker_and_peer(
    strike: Callable[[Proxy], None], reason: str, ledger: Open, whole: Network
) -> None:
    with proxy_to(whole.description.organisations["utility"].gateway) as proxy:
        ledger(ADDRESS=proxy.address)
        ids = queue_some()
        with sweeping():
            until(lambda: left(ids) < len(ids), 30, "nothing moves")
            strike(proxy)
            # One: whoever asks a ledger that hangs waits for its answer first.
            ids += queue_some(1)
            until_reason(reason)
            assert left(ids)
            proxy.recover()
            say(f"network cut ({reason})", until_confirmed(ids))
        assert_applied_once(ids)


@pytest.mark.parametrize("place", PLACES)
def test_worker_killed_in_the_middle(place: str, ledger: Open, tmp_path: Path) -> None:
    ledger()
    ids = queue_some()
    Worker(django_settings.LEDGERS, place, tmp_path).wait_until_dead()
    assert Lane.objects.exclude(leased_until=None).exists()
    assert left(ids) == len(ids)
    end_leases()
    with sweeping():
        say(f"worker killed ({place})", until_confirmed(ids))
    assert_applied_once(ids)


def test_two_workers_hear_the_same_events(ledger: Open) -> None:
    ledger()
    ids = queue_some()
    with sweeping(), sweeping(), sweeping():
        until_confirmed(ids)
    assert_applied_once(ids)


def test_full_disk_at_the_peer(ledger: Open, whole: Network) -> None:
    """By a limit on the size of its files. With room again it goes on."""
    ledger()
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        fill_disk(whole, "peer-utility")
        late = queue_some(2)
        until(lambda: standing() != "no reason given", 45, "no reason is given")
        assert left(late)
        whole.restart("peer-utility")
        say("full disk at the peer", until_confirmed(late))
    assert_applied_once(ids + late)


@soak_only
def test_full_disk_at_the_orderer(ledger: Open, whole: Network) -> None:
    ledger()
    ids = queue_some()
    with sweeping():
        until_confirmed(ids)
        fill_disk(whole, "orderer")
        late = queue_some(2)
        until(lambda: standing() != "no reason given", 45, "no reason is given")
        assert left(late)
        whole.restart("orderer")
        say("full disk at the orderer", until_confirmed(late))
    assert_applied_once(ids + late)


def fill_disk(network: Network, name: str) -> None:
    process = network.processes.find(name)
    assert process is not None
    limit_files(process.pid, 4_096)


def test_proposal_that_grew_old_is_made_anew(ledger: Open) -> None:
    """Stored, and not sent for more than a minute."""
    adapter = ledger()
    with proposals_at(adapter, timedelta(seconds=-61)):
        ids = queue_some(4)
        with sweeping():
            until(lambda: Attempt.objects.filter(message__contains="61 s old").exists(), 20, "nothing is old")
    with sweeping():
        say("proposals that were too old", until_confirmed(ids))
    assert_applied_once(ids)


def test_clock_that_is_wrong_holds_commands_up_and_loses_none(ledger: Open) -> None:
    """The chaincode refuses what is more than a minute off; nothing is parked for that."""
    adapter = ledger()
    ids = queue_some(4)
    with sweeping():
        with proposals_at(adapter, timedelta(seconds=+90)):
            until_reason("off the clock")
            assert left(ids) == len(ids)
        assert not Stream.objects.exclude(parked_by=None).exists()
        say("clock that was wrong", until_confirmed(ids))
    assert_applied_once(ids)


@contextmanager
def proposals_at(adapter: FabricLedger, offset: timedelta) -> Iterator[None]:
    """What is proposed meanwhile has a time that is off by `offset`."""

    def propose(*arguments: bytes | str, chaincode: str = "") -> Signed[Proposal]:
        made, at = adapter.options, datetime.now(UTC) + offset
        who, called = adapter.identity, chaincode or made.chaincode
        return Proposal.build(who.identity, made.channel, called, arguments, time=at).sign(who)

    adapter._propose = propose  # type: ignore[method-assign]
    try:
        yield
    finally:
        del adapter._propose


def test_identity_that_ends_and_is_replaced(ledger: Open, network: Network, tmp_path: Path) -> None:
    """With a run going on: the reason is shown, nothing is lost or parked, and nobody restarts anything."""
    folder = IdentityFolder(tmp_path / "identity")
    issue(network, folder, timedelta(seconds=6))
    adapter = ledger(CERTIFICATE=str(folder.certificate), PRIVATE_KEY=str(folder.private_key))
    ids = queue_some(4)
    with sweeping():
        until_confirmed(ids)
        assert all(each.near for each in figures(DEFAULT).expiries if each.setting == "CERTIFICATE")
        until(lambda: adapter.identity.identity.expires < datetime.now(UTC), 10, "the identity does not end")
        late = queue_some(4)
        until_reason("CERTIFICATE: ", "identity expired")
        assert left(late) == len(late)
        issue(network, folder, timedelta(days=365))
        say("identity that ended", until_confirmed(late))
        assert not any(each.near for each in figures(DEFAULT).expiries)
        assert not Stream.objects.exclude(parked_by=None).exists()
    assert_applied_once(ids + late)


def test_two_organisations_write_to_the_same_objects(ledger: Open) -> None:
    """Offer, auction and device at once, both through their own peers: conflicts are resolved by new proposals."""
    ledger("utility")
    ledger(COMMUNITY, COMMUNITY, OPERATOR=False)
    stage = Stage()
    with sweeping():
        until_confirmed(stage.set_up())
    ours = [part for number in range(8) for part in stage.write(number, DEFAULT)]
    theirs = [part for number in range(8, 16) for part in stage.write(number, COMMUNITY)]
    with sweeping(), sweeping(COMMUNITY):
        say("two organisations at once", until_confirmed(ours + theirs))
    applied = [event.outcome.id for event in on_ledger() if event.outcome.code is Code.APPLIED]
    assert sorted(name for name in applied if name in {*ours, *theirs}) == sorted([*ours, *theirs])
    assert Attempt.objects.filter(message__contains="MVCC").exists()
    assert not Event.objects.filter(command_id__in=[*ours, *theirs]).exclude(code=Code.APPLIED).exists()


class Stage:
    """An offer, an auction and a device that two installations write to. Whoever signs is known to both."""

    def __init__(self) -> None:
        self.seller, self.buyer, self.box = (SoftwareKey.generate() for _ in range(3))
        names = ("alice", "bob", "plant", "declaration", "offer", "auction", "device", "area", "point")
        self.ids = {name: secrets.token_bytes(32) for name in names}

    def set_up(self) -> list[bytes]:
        ids, now = self.ids, int(time.time())
        area, nothing = ids["area"], bytes(32)
        done = queue(
            kinds.RegisterParticipant(ids["alice"], Role.CUSTOMER, *words(self.seller), Custody.OWN, nothing),
            kinds.RegisterParticipant(ids["bob"], Role.CUSTOMER, *words(self.buyer), Custody.OWN, nothing),
        )
        steps: list[tuple[Fields, tuple[SoftwareKey, ...]]] = [
            (kinds.RegisterPlant(ids["plant"], area, ids["alice"], ids["point"], 9_900, 0, nothing), ()),
            (kinds.RegisterDevice(ids["device"], ids["alice"], *words(self.box), nothing, ()), ()),
            (
                kinds.OpenAuction(
                    ids["auction"], area, Pricing.UNIFORM, now, now + 9_000, now + 3_600, now + 7_200, nothing
                ),
                (),
            ),
            (
                kinds.DeclareSurplus(
                    ids["declaration"],
                    area,
                    ids["plant"],
                    ids["alice"],
                    Mode.FORECAST,
                    now + 7_200,
                    now + 9_000,
                    1_000,
                    nothing,
                ),
                (),
            ),
            (
                kinds.PublishOffer(ids["offer"], ids["declaration"], ids["alice"], 1_000, 120_000, now + 3_600),
                (self.seller,),
            ),
        ]
        for fields, signers in steps:
            until_confirmed(done)
            done += queue_signed(DEFAULT, fields, *signers)
        return done

    def write(self, number: int, alias: str) -> list[bytes]:
        ids = self.ids
        new, point = secrets.token_bytes(32), ids["point"]
        buy = kinds.CommitPurchase(new, ids["offer"], ids["declaration"], ids["bob"], point, 10)
        order = kinds.PlaceOrder(new, ids["auction"], ids["bob"], new)
        report = kinds.ReportDailyEnergy(ids["device"], 20_000 + number, number, 0, 0, bytes(32))
        return [
            *queue_signed(alias, buy, self.buyer),
            *queue_signed(alias, order, self.buyer),
            *queue_signed(alias, report, self.box),
        ]


def words(key: SoftwareKey) -> tuple[int, bytes, bytes]:
    public = key.public_key
    return public.algorithm, public.x, public.y


def queue_signed(alias: str, fields: Fields, *signers: SoftwareKey) -> list[bytes]:
    with transaction.atomic():
        return [enqueue(fields, *signers, ledger=alias)]


@soak_only
@pytest.mark.timeout(1_800)
def test_one_fault_after_another(ledger: Open, whole: Network) -> None:
    """Each process killed in turn, each way to cut the network, with commands all the time."""
    with proxy_to(whole.description.organisations["utility"].gateway) as proxy:
        ledger(ADDRESS=proxy.address)
        ids: list[bytes] = []
        with sweeping():
            for _ in range(3):
                for name in whole.programs():
                    ids += queue_some()
                    whole.kill(name)
                    ids += queue_some(2)
                    time.sleep(5)
                    whole.restart(name)
                    say(f"{name} killed", until_confirmed(ids))
                for strike, _ in WAYS.values():
                    strike(proxy)
                    ids += queue_some(2)
                    time.sleep(5)
                    proxy.recover()
                    say("network cut", until_confirmed(ids))
        assert_applied_once(ids)


@soak_only
def test_peer_that_was_away_for_long(ledger: Open, whole: Network) -> None:
    """gRPC's own pauses between attempts to connect grow to two minutes; ours do not."""
    ledger()
    ids = queue_some(2)
    with sweeping():
        until_confirmed(ids)
        whole.kill("peer-utility")
        ids += queue_some(2)
        time.sleep(150)
        whole.restart("peer-utility")
        say("peer away for long", until_confirmed(ids, RECOVERY))
    assert_applied_once(ids)
