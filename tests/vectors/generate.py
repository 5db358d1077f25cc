"""Writes the golden vectors beside this file: `python -m tests.vectors.generate`.

Bytes are lower-case hex after 0x, integers decimal strings. A difference to what is committed means that a frozen form
has changed: that is a new version of the form beside the old one, never a new vector in place of the old.
"""

import json
from pathlib import Path
from typing import Any

from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code, prepare
from tests.vectors import forms
from tests.vectors.anchors import anchors
from tests.vectors.contract_cases import Case, cases
from tests.vectors.market import BOB, batch, run

FOLDER = Path(__file__).parent


def plain(value: Any) -> Any:
    """The value as it stands in a vector file."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, dict):
        return {plain(name): plain(item) for name, item in value.items()}
    return [plain(item) for item in value]


def _case(case: Case) -> dict[str, Any]:
    signed = batch(case.commands, case.operator, case.signed)
    result = run(case.state, signed, case.now)
    outcomes = tuple(outcome.code for outcome in result.outcomes)
    if outcomes != case.expected:
        raise AssertionError(f"{case.name}: {outcomes} instead of {case.expected}")
    return {
        "name": case.name,
        "time": case.now,
        "state": {key: case.state[key] for key in sorted(prepare(signed).reads & case.state.keys())},
        "batch": signed.encode(),
        "outcomes": [
            {"id": outcome.id, "code": outcome.code, "error": Code(outcome.code).name, "time": outcome.time}
            for outcome in result.outcomes
        ],
        "writes": dict(sorted(result.writes.items())),
    }


def _wallet(key: SoftwareKey) -> dict[str, Any]:
    """With its secret: a ledger whose EIP-712 domain names a chain has to sign the cases' wallet commands anew."""
    public = key.public_key
    return {"secret": key.secret, "algorithm": public.algorithm, "x": public.x, "y": public.y, "id": public.id}


def documents() -> dict[str, Any]:
    """The vectors by file name."""
    return {
        "encoding.json": forms.encoding(),
        "commands.json": forms.commands(),
        "keys.json": forms.keys(),
        "state.json": forms.state(),
        "readings.json": forms.signed_readings(),
        "boxes.json": forms.box_talk(),
        "trees.json": forms.trees(),
        "settlement.json": forms.settlements(),
        "contents.json": forms.salted_contents(),
        "accumulators.json": forms.accumulated(),
        "coefficients.json": forms.coefficients(),
        "imports.json": forms.imported(),
        "checkpoints.json": forms.checkpoints(),
        "canonical.json": forms.canonical(),
        "anchors.json": anchors(),
        "contract.json": {"wallets": [_wallet(BOB)], "cases": [_case(case) for case in cases()]},
    }


def render(document: Any) -> str:
    return json.dumps(plain(document), indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    for name, document in documents().items():
        (FOLDER / name).write_text(render(document), encoding="ascii")


if __name__ == "__main__":
    main()
