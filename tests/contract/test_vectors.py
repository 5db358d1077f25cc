"""Replays the committed cases, and checks by hand what each kind of command writes."""

from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evidence.commands import KINDS, Batch, Command
from evidence.hashing import ZERO
from ledger_adapters.contract import Code, apply_batch, prepare
from ledger_adapters.contract.core import RULES
from tests.evidence.by_hand import tagged
from tests.vectors.contract_cases import SUCCEEDING
from tests.vectors.market import (
    ALICE,
    AREA,
    BASIS,
    CONTENTS,
    DAY,
    HOUR,
    METER,
    NEW_METER,
    NOW,
    POINT,
    ident,
    p256,
    secp256k1,
)
from tests.vectors.read import raw, vectors

CASES = vectors("contract")["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: Any) -> None:
    state = {raw(key): raw(value) for key, value in case["state"].items()}
    prepared = prepare(Batch.decode(raw(case["batch"])))
    result = apply_batch(prepared, {key: state.get(key) for key in prepared.reads}, int(case["time"]))
    outcomes = [(raw(one["id"]), int(one["code"]), one["error"], int(one["time"])) for one in case["outcomes"]]
    assert [(one.id, one.code, one.code.name, one.time) for one in result.outcomes] == outcomes
    assert result.writes == {raw(key): raw(value) for key, value in case["writes"].items()}


def test_there_is_a_case_for_each_outcome() -> None:
    numbers = {int(outcome["code"]) for case in CASES for outcome in case["outcomes"]}
    # What only a batch of entries can be refused for; see `test_moving`.
    assert numbers | {Code.OTHER_OUTCOME} == set(Code)


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_each_kind_has_rules_and_a_case_that_succeeds() -> None:
    assert set(RULES) == set(KINDS) == {fields.KIND for fields, _ in SUCCEEDING}


def test_rejected_commands_leave_no_writes() -> None:
    for case in CASES:
        if all(outcome["error"] != "APPLIED" for outcome in case["outcomes"]):
            assert case["writes"] == {}


# What is stored, written down a second time: table, then the fields of its records.
TABLES = {
    1: "uint64 time",
    2: "uint32 kind,uint64 time",
    3: "uint8 role,uint8 state,uint8 algorithm,bytes32 x,bytes32 y,uint8 custody,bytes32 contents",
    4: "bytes32 area,bytes32 owner,bytes32 point,uint8 state,uint64 powerW,uint32 sinceDay,bytes32 contents",
    5: "bytes32 owner,uint8 state,uint8 algorithm,bytes32 x,bytes32 y,uint32 sinceDay,uint64 revokedAt,"
    "uint8 oldAlgorithm,bytes32 oldX,bytes32 oldY,uint32 oldSinceDay,uint64 graceUntil,uint64 oldRevokedAt,"
    "bytes32 contents",
    6: "uint64 start,uint64 end,uint32 count,uint64 time",
    7: "bytes32 report,uint64 generated,uint64 imported,uint64 exported,bytes32 signedBy",
    8: "bytes32 area,bytes32 plant,bytes32 seller,uint8 mode,uint64 start,uint64 end,uint64 energy,uint64 offered,"
    "bytes32 basis",
    9: "bytes32 declaration,uint64 energy,uint64 price,uint64 committed,uint64 openUntil,uint8 state",
    10: "bytes32 offer,bytes32 buyer,bytes32 point,uint64 energy,uint64 price",
    11: "uint32 version,bytes32 root",
    12: "bytes32 document,bytes32 corrects",
    13: "uint64 time",
    14: "bytes32 area,uint8 pricing,uint8 state,uint64 start,uint64 end,uint64 ownOrdersUntil,uint64 ordersUntil,"
    "bytes32 terms,uint64 count,bytes32 head,uint64 price,uint64 volume,bytes32 orders,bytes32 awards",
    15: "bytes32 auction,bytes32 bidder,bytes32 commitment,uint64 number",
    16: "bytes32 ledger,uint64 count,bytes32 head,uint64 sealedAt,bytes32 root",
    17: "bytes32 previous,bytes32 separator",
    18: "bytes32 successor,uint64 time",
}


def entry(table: int, ids: list[Any], *values: Any) -> tuple[bytes, bytes]:
    """A state entry; `values` are the record's fields in order."""
    id_types = ["bytes32" if isinstance(part, bytes) else "uint64" for part in ids]
    key = tagged(b"em/state/1", abi_encode(["uint8", *id_types], [table, *ids]))
    return key, abi_encode([field.split(" ")[0] for field in TABLES[table].split(",")], values)


def key_of(key: Any) -> tuple[int, bytes, bytes]:
    return key.public_key.algorithm, key.public_key.x, key.public_key.y


def key_id(key: Any) -> bytes:
    return tagged(b"em/key/1", abi_encode(["uint8", "bytes32", "bytes32"], key_of(key)))


PLANT, DEVICE, OWNER = ident("plant"), ident("device"), ident("alice")
# The key before the current one, its first day, the end of its grace, its revocation.
NO_OLD_KEY = (0, ZERO, ZERO, 0, 0, 0)
METERED = (AREA, PLANT, OWNER, 1, NOW - 2 * HOUR, NOW - HOUR, 10_000)
OVER = (ident("metered"), 4_000, 120_000, 1_000)
TOMORROW = NOW + 24 * HOUR
FIRST_HEAD = tagged(b"em/chain/1", ZERO + ident("order"))

# The domain of each kind, and the records that its succeeding case writes.
WRITTEN: dict[str, tuple[list[Any], list[tuple[bytes, bytes]]]] = {
    "RegisterParticipant": (
        [3, ident("new participant")],
        [entry(3, [ident("new participant")], 3, 1, *key_of(p256("new person")), 1, CONTENTS)],
    ),
    "ChangeParticipantState": ([3, OWNER], [entry(3, [OWNER], 3, 2, *key_of(ALICE), 1, CONTENTS)]),
    "RotateParticipantKey": (
        [3, OWNER],
        [entry(3, [OWNER], 3, 1, *key_of(secp256k1("new wallet")), 0, CONTENTS)],
    ),
    "RegisterPlant": (
        [4, ident("new plant")],
        [entry(4, [ident("new plant")], AREA, OWNER, POINT, 1, 9_900, DAY, CONTENTS)],
    ),
    "TransferPlant": ([4, PLANT], [entry(4, [PLANT], AREA, ident("bob"), POINT, 1, 9_900, DAY - 30, CONTENTS)]),
    "ChangePlantState": ([4, PLANT], [entry(4, [PLANT], AREA, OWNER, POINT, 3, 9_900, DAY - 30, CONTENTS)]),
    "RegisterDevice": (
        [5, ident("new device")],
        [
            entry(5, [ident("new device")], OWNER, 1, *key_of(p256("new device")), 0, 0, *NO_OLD_KEY, CONTENTS),
            entry(13, [ident("new device"), key_id(p256("new device"))], NOW),
        ],
    ),
    "TransferDevice": (
        [5, DEVICE],
        [entry(5, [DEVICE], ident("bob"), 1, *key_of(METER), 0, 0, *NO_OLD_KEY, CONTENTS)],
    ),
    "ChangeDeviceState": (
        [5, DEVICE],
        [entry(5, [DEVICE], OWNER, 2, *key_of(METER), 0, 0, *NO_OLD_KEY, CONTENTS)],
    ),
    "RotateDeviceKey": (
        [5, DEVICE],
        [
            entry(
                5, [DEVICE], OWNER, 1, *key_of(NEW_METER), DAY, 0, *key_of(METER), 0, NOW + 30 * 86_400, 0, CONTENTS,
            ),
            entry(13, [DEVICE, key_id(NEW_METER)], NOW),
        ],
    ),
    "RevokeDeviceKey": (
        [5, DEVICE],
        [entry(5, [DEVICE], OWNER, 1, *key_of(METER), 0, NOW, *NO_OLD_KEY, CONTENTS)],
    ),
    "AnchorReadings": ([6, AREA, DAY], [entry(6, [AREA, DAY, ident("root")], NOW - 2 * HOUR, NOW - HOUR, 7, NOW)]),
    "DeclareSurplus": (
        [8, ident("new declaration")],
        [entry(8, [ident("new declaration")], *METERED, 0, BASIS)],
    ),
    "PublishOffer": (
        [8, ident("metered")],
        [
            entry(8, [ident("metered")], *METERED, 10_000, BASIS),
            entry(9, [ident("new offer")], ident("metered"), 2_000, 110_000, 0, NOW + HOUR, 1),
        ],
    ),
    "CommitPurchase": (
        [8, ident("metered")],
        [
            entry(9, [ident("offer")], ident("metered"), 4_000, 120_000, 4_000, NOW + 3 * HOUR, 1),
            entry(10, [ident("new purchase")], ident("offer"), ident("bob"), POINT, 3_000, 120_000),
        ],
    ),
    "WithdrawOffer": (
        [8, ident("metered")],
        [
            entry(8, [ident("metered")], *METERED, 5_000, BASIS),
            entry(9, [ident("offer")], *OVER, NOW + 3 * HOUR, 2),
        ],
    ),
    "CloseOffer": (
        [8, ident("metered")],
        [
            entry(8, [ident("metered")], *METERED, 5_000, BASIS),
            entry(9, [ident("offer that is over")], *OVER, NOW - 1, 3),
        ],
    ),
    "OpenAuction": (
        [14, ident("new auction")],
        [
            entry(
                14, [ident("new auction")], AREA, 2, 1, TOMORROW, TOMORROW + HOUR, NOW + HOUR, NOW + 2 * HOUR,
                ident("terms"), 0, ZERO, 0, 0, ZERO, ZERO,
            ),
        ],
    ),
    "PlaceOrder": (
        [14, ident("auction")],
        [
            entry(
                14, [ident("auction")], AREA, 1, 1, TOMORROW, TOMORROW + HOUR, NOW + HOUR // 2, NOW + HOUR,
                ident("terms"), 2, tagged(b"em/chain/1", FIRST_HEAD + ident("new order")), 0, 0, ZERO, ZERO,
            ),
            entry(15, [ident("new order")], ident("auction"), ident("bob"), ident("commitment"), 2),
        ],
    ),
    "ClearAuction": (
        [14, ident("auction that is over")],
        [
            entry(
                14, [ident("auction that is over")], AREA, 1, 2, TOMORROW, TOMORROW + HOUR, NOW - 120 - HOUR // 2,
                NOW - 120, ident("terms"), 1, FIRST_HEAD, 95_000, 40_000, ident("book"), ident("awards"),
            ),
        ],
    ),
    "RecordSettlement": ([11, AREA, DAY], [entry(11, [AREA, DAY], 2, ident("second root"))]),
    "RecordInvoice": (
        [12, ident("issuer"), ident("series")],
        [entry(12, [ident("issuer"), ident("series"), 2], ident("document"), ZERO)],
    ),
    "OpenImport": (
        [16],
        [
            entry(16, [], ident("old ledger"), 0, ZERO, 0, ZERO),
            entry(17, [ident("older ledger")], ZERO, ident("older domain")),
            entry(17, [ident("old ledger")], ident("older ledger"), ident("old domain")),
        ],
    ),
    "SealImport": (
        [16],
        [entry(16, [], ident("old ledger"), 2, ident("head of entries"), NOW, ident("state root"))],
    ),
    "CloseLedger": ([16], [entry(18, [], ident("next ledger"), NOW)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", [fields.__name__ for fields in KINDS.values()])
def test_writes_by_hand(kind: str) -> None:
    [case] = [case for case in CASES if case["name"] == f"{kind} succeeds"]
    command = raw(case["outcomes"][0]["id"])
    number = Command.from_bytes(Batch.decode(raw(case["batch"])).envelopes[0]).fields.KIND
    if kind == "ReportDailyEnergy":
        report = entry(7, [DEVICE, DAY], command, 5_200, 400, 3_300, METER.public_key.id)
        domain, written = [5, DEVICE], [report]
    else:
        domain, written = WRITTEN[kind]
    expected = dict([*written, entry(1, domain, NOW), entry(2, [command], number, NOW)])
    assert {raw(key): raw(value) for key, value in case["writes"].items()} == expected


def test_second_rotation_keeps_the_days_of_the_key_before_it() -> None:
    [case] = [case for case in CASES if case["name"] == "rotate after the grace"]
    now = NOW + HOUR + 1
    keys = (*key_of(NEW_METER), DAY + 1, 0, *key_of(METER), DAY, now + 30 * 86_400, 0)
    written = {raw(key): raw(content) for key, content in case["writes"].items()}
    for key, content in (
        entry(5, [ident("rotated device")], OWNER, 1, *keys, CONTENTS),
        entry(13, [ident("rotated device"), key_id(NEW_METER)], now),
    ):
        assert written[key] == content


def test_frozen_numbers_of_outcomes() -> None:
    frozen = {outcome["error"]: int(outcome["code"]) for case in CASES for outcome in case["outcomes"]}
    assert {**frozen, "OTHER_OUTCOME": 106} == {code.name: code.value for code in Code}
