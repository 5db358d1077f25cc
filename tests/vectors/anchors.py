"""The golden vectors of trust anchors of a chain, whose validators are voted in and out."""

import json
from typing import Any

from evidence import canonical
from evidence.canonical import encode_bytes
from evidence.trust import QuorumTrust, ValidatorSet
from tests.vectors.market import LEDGER, MARKET

CHAIN = 424_242
CONTRACT = b"\xc0" * 20
ONE, TWO, THREE, FOUR = (bytes([number]) * 20 for number in range(1, 5))
ALWAYS = (ValidatorSet(0, frozenset({TWO, ONE})),)
IN_AND_OUT = (
    ValidatorSet(0, frozenset({ONE, TWO, THREE})),
    ValidatorSet(1_000, frozenset({ONE, TWO, THREE, FOUR})),
    ValidatorSet(2_500, frozenset({TWO, THREE, FOUR})),
)
LATER = (ValidatorSet(17, frozenset({ONE})),)


def _anchors(validators: tuple[ValidatorSet, ...]) -> dict[str, Any]:
    sets = [{"from": each.first, "validators": sorted(each.addresses)} for each in validators]
    return {"sets": sets, "file": QuorumTrust(LEDGER, MARKET, CHAIN, CONTRACT, validators).encode().decode()}


def _refused() -> list[dict[str, str]]:
    members = json.loads(QuorumTrust(LEDGER, MARKET, CHAIN, CONTRACT, IN_AND_OUT).encode())
    first, second, third = members.pop("validator_sets")
    plain = {"validators": first["validators"]}
    turned = {"from": "0", "validators": first["validators"][::-1]}
    changes: dict[str, dict[str, Any]] = {
        "no validators at all": {},
        "both members": {**plain, "validator_sets": [first, second]},
        "no set": {"validator_sets": []},
        "one set that holds from the first block on": {"validator_sets": [first]},
        "sets turned round": {"validator_sets": [second, first, third]},
        "two sets from the same block on": {"validator_sets": [first, {**second, "from": "0"}]},
        "the same set twice": {"validator_sets": [first, {**first, "from": "7"}]},
        "an empty set": {"validator_sets": [first, {**second, "validators": []}]},
        "a validator twice": {"validator_sets": [first, {**second, "validators": [encode_bytes(ONE)] * 2}]},
        "validators turned round": {"validator_sets": [turned, second]},
        "a block before the first": {"validator_sets": [{**first, "from": "-1"}, second]},
        "a block with a zero before it": {"validator_sets": [first, {**second, "from": "01000"}]},
        "a set with an end of its own": {"validator_sets": [{**first, "to": "999"}, second]},
        "a set without a block": {"validator_sets": [{"validators": first["validators"]}, second]},
        "sets by block": {"validator_sets": {"0": first["validators"]}},
        "an address of 19 bytes": {"validator_sets": [first, {**second, "validators": [encode_bytes(bytes(19))]}]},
    }
    return [{"file": canonical.dumps({**members, **change}).decode(), "why": why} for why, change in changes.items()]


def anchors() -> dict[str, Any]:
    return {
        "ledger": LEDGER,
        "market": MARKET,
        "chain": CHAIN,
        "contract": CONTRACT,
        "anchors": [_anchors(validators) for validators in (ALWAYS, IN_AND_OUT, LATER)],
        "refused": _refused(),
    }
