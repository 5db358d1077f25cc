"""Which bytes the contracts take for commands, against what Python takes for them."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from evidence.abi import EncodingError, Integer, ListOf, encode_values, layout
from evidence.commands import KINDS, Batch, Command, Fields
from ledger_adapters.contract import Code, Genesis, apply_batch, domain_of, prepare
from ledger_adapters.contract.core import RULES
from ledger_adapters.quorum.market import artefact
from tests.evm import EvmNode
from tests.quorum.contracts import GENESIS, Market, Sender, deploy
from tests.vectors.contract_cases import SUCCEEDING, of
from tests.vectors.market import MARKET, batch, ident

pytestmark = pytest.mark.evm

WORD = 32
# Words that stand in envelopes: lengths, offsets, ends of ranges.
WORDS = (0, 1, 2, 4, 5, 31, 32, 64, 65, 224, 320, 352, 2**8 - 1, 2**8, 2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**256 - 1)


@pytest.fixture(scope="module")
def market(evm_node: EvmNode) -> Market:
    return deploy(Sender.at(evm_node.rpc, evm_node.sender_keys[0]), GENESIS)


def describe(market: Market, kind: int, fields: bytes) -> tuple[bool, bool, bytes]:
    """Whether the kind's module takes the fields, whether the operator has to sign, and the domain."""
    address = market.contract.functions.moduleAt(kind // 100).call()
    module = market.sender.w3.eth.contract(address=address, abi=artefact("IRules")["abi"])
    described: tuple[bool, bool, bytes] = module.functions.describe(kind, fields).call()
    return described


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_kind_describes_itself_as_in_memory(kind: type[Fields], market: Market) -> None:
    [fields] = [one for one, _ in SUCCEEDING if type(one) is kind]
    command = Command(MARKET, ident("nonce"), fields)
    expected = (True, RULES[kind.KIND].by_utility, domain_of(command))
    assert describe(market, kind.KIND, fields.encode()) == expected


def off_by_one(fields: Fields) -> Iterator[tuple[bytes, bool]]:
    """Encodings with one field at the end of its range and just beyond it, and whether they are good."""
    shape = layout(type(fields))
    for place, kind in enumerate(shape.types):
        values = list(shape.values(fields))
        if isinstance(kind, Integer):
            for value in (kind.bounds[1] - 1, kind.bounds[1]):
                values[place] = value
                yield encode_values(shape.types, tuple(values)), value < kind.bounds[1]
        if isinstance(kind, ListOf):
            for length in (0, kind.most, kind.most + 1):
                values[place] = tuple(ident(str(index)) for index in range(length))
                yield encode_values(shape.types, tuple(values)), length <= kind.most


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.__name__)
def test_fields_have_the_range_of_their_type(kind: type[Fields], market: Market) -> None:
    [fields] = [one for one, _ in SUCCEEDING if type(one) is kind]
    for encoded, good in off_by_one(fields):
        assert describe(market, kind.KIND, encoded)[0] is good
        assert taken(kind, encoded) is good
    assert not describe(market, kind.KIND, fields.encode()[:-WORD])[0]
    assert not describe(market, kind.KIND, fields.encode() + bytes(WORD))[0]


def taken(kind: type[Fields], encoded: bytes) -> bool:
    try:
        kind.decode(encoded)
    except EncodingError:
        return False
    return True


def damaged(envelope: bytes, chance: Random) -> bytes:
    words = [envelope[at : at + WORD] for at in range(0, len(envelope), WORD)]
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(words))
        match chance.randrange(6):
            case 0:
                words[place] = chance.choice(WORDS).to_bytes(WORD, "big")
            case 1:
                number = int.from_bytes(words[place], "big") + chance.choice((-32, -1, 1, 32))
                words[place] = (number % 2**256).to_bytes(WORD, "big")
            case 2:
                words.insert(place, chance.choice(words))
            case 3:
                words = words[:place] + words[place + 1 :] or [b""]
            case 4:
                words[place] = words[place][: chance.randrange(WORD)]
            case 5:
                other = chance.randrange(len(words))
                words[place], words[other] = words[other], words[place]
    return b"".join(words)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_envelopes_end_as_in_memory(seed: int, market: Market) -> None:
    chance = Random(seed)
    good: list[Any] = [of(fields).envelope.encode() for fields, _ in SUCCEEDING]
    sent = batch([damaged(chance.choice(good), chance) for _ in range(300)])
    prepared = prepare(sent)
    state = dict.fromkeys(prepared.reads) | {Genesis.key(): GENESIS.encode()}
    codes, times = market.simulate(sent)
    [now] = set(times)
    expected = [outcome.code for outcome in apply_batch(prepared, state, now, market.domain).outcomes]
    assert codes == expected
    assert expected.count(Code.BAD_ENCODING) not in (0, len(expected))


def test_kinds_without_a_module_are_no_commands(market: Market) -> None:
    fields = of(SUCCEEDING[0][0]).envelope
    kinds = (0, 1, 99, 100, 199, 500, 501, 801, 25_599, 25_600, 25_701, 2**32 - 1)
    envelopes = tuple(type(fields)(1, kind, *as_values(fields)[2:]).encode() for kind in kinds)
    assert market.simulate(Batch(envelopes, b""))[0] == [Code.BAD_ENCODING] * len(kinds)


def as_values(struct: Any) -> tuple[Any, ...]:
    return layout(type(struct)).values(struct)
