"""Both sides of each benchmark on a network give equal results, with small sizes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import chains, fabric, outbox, quorum
from bench.baselines.fabric import Gateway
from bench.chains import Chain
from bench.measure import Skipped
from bench.networks import Fabric, Quorum, Unavailable, running_fabric, running_quorum
from bench.servers import Servers
from energymarket.pytest_servers import LocalServers
from evidence.commands import Batch, Command, signed_batch
from evidence.commands.kinds import AnchorReadings
from evidence.readings import batch_root
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import Anchor
from ledger_adapters.fabric.chaincode.messages import SubmitResponse
from tests.fabric.identities.conftest import hfc_python
from tests.ledger.support import database_url

__all__ = ["hfc_python"]


@pytest.fixture(scope="module")
def on_fabric() -> Iterator[Fabric]:
    try:
        with running_fabric() as found:
            yield found
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def on_quorum() -> Iterator[Quorum]:
    try:
        with running_quorum() as found:
            yield found
    except Unavailable as error:
        pytest.skip(str(error))


def anchored(ledger: Chain, envelopes: Sequence[bytes]) -> list[tuple[int, int, int]]:
    """Start, end and count of what the commands wrote."""
    keys = []
    for envelope in envelopes:
        fields = Command.from_bytes(envelope).fields
        assert isinstance(fields, AnchorReadings)
        keys.append(Anchor.key(fields.area, fields.day, fields.root))
    written = [Anchor.decode(value or b"") for value in ledger.read(keys).values()]
    return [(anchor.start, anchor.end, anchor.count) for anchor in written]


def batches(ledger: Chain, envelopes: Sequence[bytes]) -> list[Batch]:
    return [signed_batch(ledger.genesis().ledger, [envelope], ledger.operator) for envelope in envelopes]


ONE_READING = (chains.SLOTS.start, chains.SLOTS.stop, 1)


@pytest.mark.fabric
def test_on_fabric_commands_together_and_alone_write_the_same(on_fabric: Fabric) -> None:
    ledger = on_fabric.ledger
    together, alone, at_once = (chains.anchors(ledger, 3) for _ in range(3))
    chains.send(ledger, together)
    with Gateway(on_fabric.options) as gateway:
        fabric.send_alone(gateway, batches(ledger, alone))
    fabric.send_at_once(ledger, batches(ledger, at_once))
    for envelopes in (together, alone, at_once):
        assert anchored(ledger, envelopes) == [ONE_READING] * 3


@pytest.mark.fabric
def test_hfc_and_plain_calls_are_answered_alike(
    on_fabric: Fabric, hfc_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fabric, "HFC", hfc_python)
    ledger = on_fabric.ledger
    first, second = chains.anchors(ledger, 1), chains.anchors(ledger, 3)
    with Gateway(on_fabric.options) as gateway:
        answers = [gateway.submit(b"submit", batch.encode()) for batch in batches(ledger, first)]
    with fabric.running_hfc(on_fabric.description) as hfc:
        answers += hfc.submit(batches(ledger, second), at_once=2)
    outcomes = [outcome for answer in answers for outcome in SubmitResponse.decode(answer).outcomes]
    ids = [Command.from_bytes(envelope).id for envelope in (*first, *second)]
    assert [(outcome.id, outcome.code) for outcome in outcomes] == [(id, Code.APPLIED) for id in ids]
    assert anchored(ledger, [*first, *second]) == [ONE_READING] * 4


@pytest.mark.quorum
def test_on_quorum_commands_together_and_alone_write_the_same(on_quorum: Quorum) -> None:
    ledger, plain = on_quorum.ledger, quorum.sender(on_quorum.ledger)
    together, alone, at_once = chains.anchors(ledger, 100), chains.anchors(ledger, 1), chains.anchors(ledger, 3)
    assert len(list(chains.pack(together, ledger.limits))) == 2
    chains.send(ledger, together)
    quorum.send_alone(plain, batches(ledger, alone))
    quorum.send_at_once(plain, batches(ledger, at_once))
    for envelopes in (together, alone, at_once):
        assert anchored(ledger, envelopes) == [ONE_READING] * len(envelopes)


@pytest.mark.fabric
def test_one_command_anchors_the_signed_batches_of_all_devices(on_fabric: Fabric) -> None:
    way = chains.by_root(on_fabric.ledger, devices=2)
    assert way.count == 2 * 2 * 96
    sent = way.prepare()()
    assert anchored(on_fabric.ledger, sent) == [(chains.SLOTS.start, chains.SLOTS.stop, 2)]


def test_a_device_signs_the_root_of_its_day() -> None:
    meter = chains.Meter.new()
    statement, signature = meter.signed_statement()
    assert statement.count == len(meter.readings) == 192
    assert statement.root == batch_root(meter.readings, {meter.readings[0].point: meter.secret})
    assert meter.key.public_key.verifies(statement.digest, signature)


@pytest.mark.fabric
def test_a_command_that_was_not_applied_ends_the_race(on_fabric: Fabric) -> None:
    (never_sent,) = chains.anchors(on_fabric.ledger, 1)
    way = chains.Way(1, lambda: lambda: [never_sent])
    with pytest.raises(RuntimeError, match="2 of 2 commands were not applied"):
        chains.race(on_fabric.ledger, {"forgetful": way}, rounds=1)


def check_outbox(network: outbox.Network, servers: LocalServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SAMPLES_PER_ROUND", 2)
    found = outbox.figures(network, Servers(database_url(), servers.supervisor), rounds=1)
    assert [figure.name for figure in found] == outbox.names(network.name)
    assert {(len(figure.ours), len(figure.baseline)) for figure in found} == {(2, 2)}
    # Nothing is confirmed before a block of its own is there.
    assert all(0.5 < figure.ratio < 20 for figure in found)


@pytest.mark.fabric
@pytest.mark.django_db(transaction=True)
def test_a_party_is_confirmed_by_the_worker_on_fabric(
    on_fabric: Fabric, servers: LocalServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gateway(on_fabric.options) as gateway:
        check_outbox(fabric.network(on_fabric, gateway), servers, monkeypatch)


@pytest.mark.quorum
@pytest.mark.django_db(transaction=True)
def test_a_party_is_confirmed_by_the_worker_on_quorum(
    on_quorum: Quorum, servers: LocalServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_outbox(quorum.network(on_quorum, quorum.sender(on_quorum.ledger)), servers, monkeypatch)


@pytest.mark.parametrize("module", [fabric, quorum])
def test_without_its_programs_a_network_leaves_no_figure_out(
    module: Any, servers: LocalServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = list(module.figures(Servers("", servers.supervisor), rounds=1))
    assert {type(figure) for figure in found} == {Skipped}
    assert len(found) == len(module.NAMES)
    assert all("on PATH" in figure.lines()[1] for figure in found)
