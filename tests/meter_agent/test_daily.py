"""Totals of days as commands: which days, how much, and that they arrive on a real Quorum and a real Fabric network."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from deploy.fabric.network import Network as FabricNetwork
from deploy.quorum.network import Network as QuorumNetwork
from evidence.commands import Command
from evidence.keys import Algorithm, SoftwareKey
from evidence.readings import Reading, Register
from ledger_adapters.fabric.adapter import FabricLedger
from ledger_adapters.quorum.adapter import QuorumLedger
from meter_agent.daily import Energy, energy_of, report
from meter_agent.destinations import Fabric, Ledger, Quorum, Relay
from meter_agent.journal import DayTotal, Journal
from meter_agent.slots import day_number, slots_of_day
from tests.conformance.test_fabric import options as fabric_options
from tests.conformance.test_fabric import running_network
from tests.conformance.test_quorum import founded
from tests.evm import EvmNode, evm_node
from tests.fabric.recording import found
from tests.meter_agent.daily import DAYS, Box, box_config, check_reports, energy_on, is_about, read_days
from tests.meter_agent.support import BERLIN, DEVICE, HOUSE, KEY, SHOP, STEP, store
from tests.quorum.conftest import quorum_network

__all__ = ["evm_node", "quorum_network"]

TO = Ledger("ledger", b"\x0e" * 32, b"\x0f" * 32, Relay("http://127.0.0.1:9"))
EXPECTED = {
    (HOUSE, Register.GENERATION),
    (HOUSE, Register.GRID_IMPORT),
    (HOUSE, Register.GRID_EXPORT),
    (SHOP, Register.GRID_IMPORT),
    (SHOP, Register.GRID_EXPORT),
}


def totals(seconds: int = 86_400) -> list[DayTotal]:
    whole = [
        DayTotal(point, register, 1000 * point[0] + register, 86_400, 0)
        for point, register in sorted(EXPECTED, key=lambda key: (key[0], key[1]))
    ]
    return [*whole[:-1], DayTotal(*(whole[-1].point, whole[-1].register, whole[-1].energy), seconds, 0)]


def test_a_days_energy_is_the_sum_over_the_points() -> None:
    house, shop = 1000 * HOUSE[0], 1000 * SHOP[0]
    assert energy_of(totals(), EXPECTED, 86_400) == Energy(house + 2, house + 3 + shop + 3, house + 4 + shop + 4)


def test_a_day_that_lacks_a_slot_or_a_register_has_no_total() -> None:
    assert energy_of(totals(86_400 - STEP), EXPECTED, 86_400) is None
    assert energy_of(totals()[1:], EXPECTED, 86_400) is None


def test_consumption_and_what_is_not_asked_for_do_not_count() -> None:
    more = [*totals(), DayTotal(HOUSE, Register.CONSUMPTION, 10**9, 86_400, 0), DayTotal(b"\x01" * 32, 2, 5, 900, 0)]
    assert energy_of(more, EXPECTED, 86_400) == energy_of(totals(), EXPECTED, 86_400)


def test_the_same_day_is_the_same_command_however_often_it_is_made() -> None:
    energy = Energy(5_200, 400, 3_300)
    one, again = (report(TO, DEVICE, 20_600, energy, KEY) for _ in range(2))
    assert one.id == again.id
    assert one.id != report(TO, DEVICE, 20_601, energy, KEY).id
    assert one.id != report(TO, b"\x01" * 32, 20_600, energy, KEY).id


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    config = box_config(tmp_path)
    with Journal(config.journal, DEVICE) as journal:
        yield Box(config, journal, TO)


def test_days_are_reported_as_they_were_read_even_when_clocks_change(box: Box) -> None:
    read_days(box.config, box.journal)
    box.use(_sign)
    reports = box.journal.waiting_reports("ledger")
    assert [report.day for report in reports] == [day_number(day) for day in DAYS]
    for day, waiting in zip(DAYS, reports, strict=True):
        fields = Command.from_bytes(waiting.envelope).fields
        found = Energy(fields.generated, fields.imported, fields.exported)  # type: ignore[attr-defined]
        assert is_about(found, energy_on(day))


def test_today_and_days_with_a_gap_wait(box: Box) -> None:
    day = DAYS[0]
    slots = list(slots_of_day(day, BERLIN, STEP))
    for point, register in EXPECTED:
        store(box.journal, [Reading(point, register, slot, 1) for slot in slots[:-1]], point)
    box.use(_sign)
    assert box.journal.waiting_reports("ledger") == []
    for point, register in EXPECTED:
        store(box.journal, [Reading(point, register, slots[-1], 1)], point)
    box.clock = lambda: slots[-1] + STEP - 1
    box.use(_sign)
    assert box.journal.waiting_reports("ledger") == []
    box.clock = lambda: slots[-1] + STEP
    box.use(_sign)
    assert [report.day for report in box.journal.waiting_reports("ledger")] == [day_number(day)]


def test_a_ledger_that_is_away_is_asked_again(box: Box) -> None:
    read_days(box.config, box.journal, (date(2026, 3, 28),))
    assert not box.report(attempts=2)
    assert [state for _, state, _ in box.states] == ["waiting"]


async def _sign(reporter: object) -> None:
    reporter.sign_reports()  # type: ignore[attr-defined]


def plain_account(folder: Path) -> Path:
    """A key that no ledger and no chain has ever heard of."""
    path = folder / "account.key"
    path.touch(mode=0o600)
    path.write_text(SoftwareKey.generate(Algorithm.SECP256K1).secret.hex())
    return path


def by_quorum(ledger: QuorumLedger, rpc: str, chain_id: int, folder: Path, gas_price: int = 0) -> Quorum:
    contract = bytes.fromhex(ledger.market.address[2:])
    return Quorum(rpc, contract, chain_id, plain_account(folder), gas_price, 3_000_000, 0)


@pytest.mark.quorum
def test_days_arrive_on_a_real_quorum_network(quorum_network: QuorumNetwork, tmp_path: Path) -> None:
    chain_id = quorum_network.settings.chain_id
    ledger = founded(tmp_path, [node.rpc for node in quorum_network.nodes], chain_id)
    check_reports(ledger, by_quorum(ledger, quorum_network.nodes[2].rpc, chain_id, tmp_path), tmp_path)


@pytest.mark.evm
def test_an_account_that_cannot_pay_is_named_and_pays_later(
    evm_node: EvmNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = founded(tmp_path, [evm_node.rpc], evm_node.chain_id)
    way = by_quorum(ledger, evm_node.rpc, evm_node.chain_id, tmp_path, gas_price=10**9)
    config = box_config(tmp_path)
    with Journal(config.journal, DEVICE) as journal:
        read_days(config, journal, DAYS[:1])
        box = Box(config, journal, Ledger("ledger", ledger.genesis().ledger, ledger.genesis().market, way))
        assert not box.report(attempts=1)
        assert "insufficient" in caplog.text.lower()
        assert [state for _, state, _ in box.states] == ["waiting"]


@pytest.fixture(scope="module")
def fabric_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FabricNetwork, FabricLedger]]:
    folder = tmp_path_factory.mktemp("daily")
    with running_network(folder) as network:
        ledger = FabricLedger.from_options("test", fabric_options(network, "utility", folder / "keys"))
        found(network, ledger, SoftwareKey.generate().public_key)
        yield network, ledger
        ledger.gateway.close()


@pytest.mark.fabric
def test_days_arrive_on_a_real_fabric_network(
    fabric_market: tuple[FabricNetwork, FabricLedger], tmp_path: Path
) -> None:
    """With an identity that has no rights but to submit."""
    network, ledger = fabric_market
    own = network.description.options("community")
    way = Fabric(
        own["ADDRESS"],
        own["CHANNEL"],
        own["CHAINCODE"],
        own["MSP_ID"],
        Path(own["CERTIFICATE"]),
        Path(own["PRIVATE_KEY"]),
        Path(own["TLS_CA"]),
        "",
    )
    check_reports(ledger, way, tmp_path)
