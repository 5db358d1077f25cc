"""Contracts are changed by both parties: each looks at what it signs, and nothing happens with one alone."""

import json
import secrets
from pathlib import Path

import pytest

from evidence.commands import Command
from evidence.commands.kinds import CloseLedger
from ledger_adapters.contract import Code
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum import market
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.governance import Action, Governance, NotApproved, Step, main
from tests.evm import EvmNode, evm_node

__all__ = ["evm_node"]

pytestmark = pytest.mark.evm


class Place:
    """A market on a node, and the command line of either party."""

    def __init__(self, node: EvmNode, folder: Path) -> None:
        self.folder, self.keys = folder, KeyFolder(folder / "keys")
        self.options = {"RPC": node.rpc, "CHAIN_ID": node.chain_id}
        (folder / "options.json").write_text(json.dumps(self.options), encoding="utf-8")

    def open(self) -> QuorumLedger:
        ways = {"KEYS": self.folder / "keys", "DEPLOYMENT": self.folder / "address"}
        return QuorumLedger.from_options("test", {**self.options, **ways})

    def found(self) -> QuorumLedger:
        ledger = self.open()
        ledger.found(secrets.token_bytes(32), secrets.token_bytes(32), self.keys.signer("community").public_key)
        return ledger

    def run(self, command: str, *more: str) -> int:
        names = {"options": "options.json", "keys": "keys", "deployment": "address", "plan": "plan"}
        told = [part for option, name in names.items() for part in (f"--{option}", str(self.folder / name))]
        return main([command, *told, *more])

    def approve(self, party: str, capsys: pytest.CaptureFixture[str]) -> str:
        capsys.readouterr()
        assert self.run("approve", "--party", party) == 0
        path = self.folder / party
        path.write_text(capsys.readouterr().out, encoding="utf-8")
        return str(path)

    def applied(self, capsys: pytest.CaptureFixture[str]) -> bool:
        return not self.run("apply", "--approval", *(self.approve(one, capsys) for one in ("utility", "community")))


@pytest.fixture
def place(evm_node: EvmNode, tmp_path: Path) -> Place:
    return Place(evm_node, tmp_path)


def close(place: Place) -> Code:
    """The outcome of a command that markets of an earlier version do not know."""
    ledger = place.open()
    genesis = ledger.genesis()
    fields = CloseLedger(secrets.token_bytes(32))
    parties = [place.keys.signer(name) for name in ("operator", "community")]
    command = Command(genesis.market, secrets.token_bytes(32), fields).signed_by(genesis.ledger, *parties)
    sent = ledger.prepare([command.envelope.encode()])
    ledger.submit(sent)
    outcomes = ledger.outcome(sent.id)
    assert outcomes
    return outcomes[0].code


def test_a_market_of_an_earlier_version_learns_what_is_new(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as before:
        before.setattr(market, "MODULES", {slot: name for slot, name in market.MODULES.items() if slot != 9})
        governance = Governance(place.found())
    assert governance.outdated() == {9: "Moving"}
    assert close(place) is Code.BAD_ENCODING
    assert place.run("propose") == 0
    assert place.applied(capsys)
    assert governance.outdated() == {}
    assert close(place) is Code.APPLIED
    capsys.readouterr()
    assert place.run("propose") == 0
    assert capsys.readouterr().out == "the market's contracts are those of this version\n"


def test_each_slot_that_holds_something_else_is_found(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    governance = Governance(place.found())
    core = governance.market.w3.to_checksum_address(governance._module_at(0))
    steps = [Step(Action.UPGRADE, 3, core), Step(Action.UPGRADE, 7, core)]
    digests = [governance._digest(step, number) for number, step in enumerate(steps)]
    signed = {
        key.public_key.id: [key.sign(digest) for digest in digests]
        for key in (place.keys.signer("operator"), place.keys.signer("community"))
    }
    with pytest.raises(NotApproved, match="is not the contract of slot 3"):
        governance.apply(steps, signed)
    calls = [governance._call(step, *(each[n] for each in signed.values())) for n, step in enumerate(steps)]
    assert [receipt["status"] for receipt in governance.ledger.transact(calls)] == [1, 1]
    assert governance.outdated() == {3: "Offers", 7: "Settlement"}
    assert place.run("propose") == 0
    assert place.applied(capsys)
    assert governance.outdated() == {}


def test_one_party_alone_and_yesterdays_signatures_change_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.found()
    assert place.run("propose", "--action", "pause") == 0
    utility = place.approve("utility", capsys)
    assert place.run("apply", "--approval", utility) == 1
    assert capsys.readouterr().err == "the community has not signed these steps as they are now\n"
    assert place.applied(capsys)
    assert Governance(place.open())._functions.isPaused().call()
    assert place.run("propose", "--action", "unpause") == 0
    assert place.run("apply", "--approval", utility, str(place.folder / "community")) == 1
    assert place.applied(capsys)
    assert not Governance(place.open())._functions.isPaused().call()
