"""What changes a market's contracts, and what both parties sign for it: upgrades, the emergency pause, its end.

python -m ledger_adapters.quorum.governance propose|approve|apply …
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.types import TxParams

from evidence.hashing import tagged
from evidence.keys import PublicKey, Signer
from ledger_adapters.exceptions import LedgerError
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.market import MODULES, artefact, create, creation

NOBODY = Web3.to_checksum_address("0x" + "00" * 20)


class Action(IntEnum):
    UPGRADE = 1
    PAUSE = 2
    UNPAUSE = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `slot` and `module` say what an upgrade puts where, and are zero otherwise."""

    action: Action
    slot: int = 0
    module: ChecksumAddress = NOBODY


class NotApproved(LedgerError):
    """A step cannot be agreed to, or was not by both parties; the message says why."""


class Governance:
    """A market's contracts as those who run it see them."""

    def __init__(self, ledger: QuorumLedger) -> None:
        self.ledger = ledger
        self.market = ledger.market
        self._functions = self.market.w3.eth.contract(self.market.address, abi=artefact("IMarket")["abi"]).functions

    def outdated(self) -> dict[int, str]:
        """The slots that hold another contract than this version's, or none, with the name of that one."""
        return {slot: name for slot, name in MODULES.items() if not self._is_ours(name, self._module_at(slot))}

    def propose_upgrade(self) -> list[Step]:
        """Put the contracts of this version that are missing on the chain. Nothing uses them yet."""
        slots = self.outdated()
        creations = {name: creation(self.market.w3, name) for name in slots.values()}
        placed = create(creations, self.ledger.transact)
        # The core comes last: what it hands on has its rules then.
        return [Step(Action.UPGRADE, slot, placed[name]) for slot, name in sorted(slots.items(), reverse=True)]

    def digests(self, steps: Sequence[Step]) -> list[bytes]:
        """What both parties sign, step by step. Raises `NotApproved` for what is not this version's contract."""
        for step in steps:
            if step.action is Action.UPGRADE and not self._is_ours(MODULES.get(step.slot, ""), step.module):
                raise NotApproved(f"what is at {step.module} is not the contract of slot {step.slot} in this version")
        used = self._functions.approvals().call()
        return [self._digest(step, number) for number, step in enumerate(steps, used)]

    def sign(self, steps: Sequence[Step], signer: Signer) -> list[bytes]:
        return [signer.sign(digest) for digest in self.digests(steps)]

    def apply(self, steps: Sequence[Step], signatures: Mapping[bytes, Sequence[bytes]]) -> None:
        """`signatures` by the id of the key that made them. Raises `NotApproved` when a party has not signed a step."""
        genesis = self.ledger.genesis()
        digests = self.digests(steps)
        parties = {"utility": genesis.utility, "community": genesis.community}
        signed = [self._of(name, key, digests, signatures) for name, key in parties.items()]
        calls = [self._call(step, *pair) for step, *pair in zip(steps, *signed, strict=True)]
        for receipt in self.ledger.transact(calls):
            if receipt["status"] != 1:
                raise NotApproved("the market refused a step: another one was applied meanwhile, so propose anew")

    def _digest(self, step: Step, number: int) -> bytes:
        words = (
            self.ledger.genesis().ledger,
            self.ledger.options.chain_id.to_bytes(32, "big"),
            _address(self.market.address),
            *(value.to_bytes(32, "big") for value in (number, step.action, step.slot)),
            _address(step.module),
        )
        return tagged("em/govern/1", b"".join(words))

    @staticmethod
    def _of(
        name: str, key: PublicKey, digests: Sequence[bytes], signatures: Mapping[bytes, Sequence[bytes]]
    ) -> Sequence[bytes]:
        found = signatures.get(key.id, ())
        if len(found) != len(digests) or not all(map(key.verifies, digests, found)):
            raise NotApproved(f"the {name} has not signed these steps as they are now")
        return found

    def _call(self, step: Step, utility: bytes, community: bytes) -> TxParams:
        functions = self._functions
        if step.action is Action.UPGRADE:
            call = functions.upgrade(step.slot, step.module, utility, community)
        else:
            call = (functions.pause if step.action is Action.PAUSE else functions.unpause)(utility, community)
        return {"to": self.market.address, "data": call._encode_transaction_data()}

    def _module_at(self, slot: int) -> ChecksumAddress:
        module: ChecksumAddress = self._functions.moduleAt(slot).call()
        return module

    def _is_ours(self, name: str, module: ChecksumAddress) -> bool:
        """A module's code is the end of what creates it: it has no immutables and no arguments."""
        code = bytes(self.market.w3.eth.get_code(module)).hex()
        return bool(name and code) and str(artefact(name)["bytecode"]).endswith(code)


def _address(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x")).rjust(32, b"\x00")


# On the command line

Options = argparse.Namespace


def _governance(options: Options) -> Governance:
    told = {**json.loads(options.options.read_text("utf-8")), "KEYS": options.keys}
    if options.deployment is not None:
        told["DEPLOYMENT"] = options.deployment
    return Governance(QuorumLedger.from_options("default", told))


def _steps(options: Options) -> list[Step]:
    written = json.loads(options.plan.read_text("utf-8"))["steps"]
    return [
        Step(Action[one["action"].upper()], one["slot"], Web3.to_checksum_address(one["module"])) for one in written
    ]


def propose(options: Options) -> None:
    action = Action[options.action.upper()]
    steps = _governance(options).propose_upgrade() if action is Action.UPGRADE else [Step(action)]
    if not steps:
        print("the market's contracts are those of this version")
        return
    written = [{"action": step.action.name.lower(), "slot": step.slot, "module": step.module} for step in steps]
    options.plan.write_text(json.dumps({"steps": written}, indent=1) + "\n", encoding="utf-8")
    for step in steps:
        print(f"{step.action.name.lower()} slot {step.slot} {MODULES[step.slot]} {step.module}")


def approve(options: Options) -> None:
    signer = KeyFolder(options.keys).signer("operator" if options.party == "utility" else "community")
    signatures = _governance(options).sign(_steps(options), signer)
    answer = {"key": signer.public_key.id.hex(), "signatures": [signature.hex() for signature in signatures]}
    print(json.dumps(answer))


def apply(options: Options) -> None:
    signatures: dict[bytes, list[bytes]] = {}
    for path in options.approval:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        signatures[bytes.fromhex(found["key"])] = [bytes.fromhex(signature) for signature in found["signatures"]]
    steps = _steps(options)
    _governance(options).apply(steps, signatures)
    print(f"{len(steps)} steps applied")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ledger_adapters.quorum.governance", description=__doc__)
    commands: dict[str, Callable[[Options], None]] = {"propose": propose, "approve": approve, "apply": apply}
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("--options", type=Path, required=True, help="JSON file with the options of the ledger")
    parser.add_argument("--keys", type=Path, required=True, help="folder of keys, as KEYS")
    parser.add_argument("--deployment", type=Path, help="file with the market's address, as DEPLOYMENT")
    parser.add_argument("--plan", type=Path, required=True, help="file with the steps, which propose writes")
    parser.add_argument("--action", choices=[action.name.lower() for action in Action], default="upgrade")
    parser.add_argument("--party", choices=["utility", "community"], default="utility", help="who approves")
    parser.add_argument("--approval", type=Path, nargs="+", default=[], help="what approve printed for each party")
    options = parser.parse_args(arguments)
    try:
        commands[options.command](options)
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
