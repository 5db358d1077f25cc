"""Receipt tries and sealed headers, without a chain."""

import sys

import pytest
import rlp
from Crypto.Hash import keccak

from evidence.ethereum.headers import SealedHeader, block_hash, quorum
from evidence.ethereum.receipts import outcome_of, read_logs
from evidence.ethereum.rlps import EthereumError, decode
from evidence.ethereum.trie import Trie, read_items
from tests.vectors.read import vectors

IBFT = vectors("recorded/quorum_block")["ibft"]
HEADER = bytes.fromhex(IBFT["header"])
VALIDATORS = {bytes.fromhex(address) for address in IBFT["validators"]}
CONTRACT = b"\x11" * 20
TOPIC = keccak.new(digest_bits=256, data=b"Outcome(uint8,uint64,bytes32,bytes)").digest()
WORDS = [word.to_bytes(32, "big") for word in (0, 1_800_000_000, 96, 3)]
DATA = b"".join(WORDS) + b"abc".ljust(32, b"\0")


def items(count: int) -> list[bytes]:
    return [b"receipt %d " % number * 8 for number in range(count)]


# Receipts


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 127, 128, 129, 256, 300])
def test_a_path_leads_to_each_item_and_to_all_at_once(count: int) -> None:
    found = items(count)
    trie = Trie(found)
    for index in {0, 1, 15, 16, 127, 128, 255, count - 1} & set(range(count)):
        assert read_items(trie.root, trie.path([index]), [index]) == [found[index]]
    every = range(count)
    assert read_items(trie.root, trie.path(every), every) == found


def test_the_empty_trie_is_that_of_every_chain() -> None:
    assert Trie([]).root.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def test_nodes_that_two_items_share_are_given_once() -> None:
    trie = Trie(items(200))
    apart = len(trie.path([130])) + len(trie.path([131]))
    assert len(trie.path([130, 131])) < apart


@pytest.mark.parametrize("index", [200, 2**64, 10**60])
def test_an_item_behind_the_last_is_not_there(index: int) -> None:
    trie = Trie(items(200))
    with pytest.raises(EthereumError):
        read_items(trie.root, trie.path(range(200)), [index])


def test_an_item_does_not_pass_for_another() -> None:
    trie = Trie(items(200))
    with pytest.raises(EthereumError, match="missing"):
        read_items(trie.root, trie.path([130]), [3])


def test_a_leaf_does_not_pass_for_that_of_another_item() -> None:
    trie = Trie(items(1))
    for index in (1, 8, 128):
        with pytest.raises(EthereumError, match="no item"):
            read_items(trie.root, trie.path([0]), [index])


def test_a_common_part_of_keys_does_not_pass_for_another() -> None:
    """128 and 129 share a nibble of their keys, which 144 has another of."""
    trie = Trie(items(130))
    with pytest.raises(EthereumError, match="no item"):
        read_items(trie.root, trie.path([128]), [144])


def test_surplus_and_doubled_nodes_are_refused() -> None:
    trie = Trie(items(200))
    path = trie.path([7])
    for nodes in ((*path, trie.path([130])[-1]), (*path, path[0]), (*path, b"\xc0")):
        with pytest.raises(EthereumError, match="more nodes"):
            read_items(trie.root, nodes, [7])


@pytest.mark.parametrize("node", [b"\xc0", b"\x80", rlp.encode([b"", b"\1" * 32]), rlp.encode([[b"\x20"], b"\1" * 32])])
def test_a_root_that_is_no_node_is_refused(node: bytes) -> None:
    root = keccak.new(digest_bits=256, data=node).digest()
    with pytest.raises(EthereumError):
        read_items(root, [node], [0])


@pytest.mark.parametrize("path", [b"\x40\x80", b"\x21\x80", b"\x00", b"\x2f"])
def test_paths_in_another_form_are_refused(path: bytes) -> None:
    node = rlp.encode([path, b"item"])
    with pytest.raises(EthereumError):
        read_items(keccak.new(digest_bits=256, data=node).digest(), [node], [0])


@pytest.mark.parametrize("kind", [b"", b"\x01", b"\x02"])
def test_an_outcome_is_read_from_legacy_and_typed_receipts(kind: bytes) -> None:
    log = [CONTRACT, [TOPIC, b"\x22" * 32], DATA]
    (found,) = read_logs(kind + rlp.encode([b"\x01", b"\x07", bytes(256), [log]]))
    outcome = outcome_of(found, CONTRACT)
    assert (outcome.code, outcome.time, outcome.envelope) == (0, 1_800_000_000, b"abc")


@pytest.mark.parametrize(
    "log",
    [
        b"",
        [CONTRACT, [TOPIC, b"\x22" * 32]],
        [b"\x12" * 20, [TOPIC, b"\x22" * 32], DATA],
        [CONTRACT, [b"\x12" * 32, b"\x22" * 32], DATA],
        [CONTRACT, [TOPIC], DATA],
        [CONTRACT, b"", DATA],
        [CONTRACT, [TOPIC, b"\x22" * 32], DATA + bytes(32)],
        [CONTRACT, [TOPIC, b"\x22" * 32], [DATA]],
        [CONTRACT, [TOPIC, b"\x22" * 32], DATA[:-1] + b"\1"],
    ],
    ids=["text", "no data", "address", "event", "no id", "no topics", "surplus", "list", "padding"],
)
def test_other_logs_are_no_outcome(log: object) -> None:
    with pytest.raises(EthereumError):
        outcome_of(log, CONTRACT)


@pytest.mark.parametrize("receipt", [b"", b"\x01", rlp.encode([b"\x01", b"", b""]), rlp.encode([b"", b"", b"", b""])])
def test_what_is_no_receipt_has_no_logs(receipt: bytes) -> None:
    with pytest.raises(EthereumError):
        read_logs(receipt)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x81\x01", b"\xb8\x01a", b"\xc1", b"\x80\x80", b"\xf8\x00", b"\xc0" * 2, b"\xf9\xff\xff" * 30_000],
)
def test_rlp_in_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(EthereumError, match="the thing"):
        decode(content, "thing")


@pytest.mark.parametrize("limit", [1_000, 100_000])
def test_lists_in_lists_without_end_are_refused(limit: int) -> None:
    """Whatever the interpreter's limit: other libraries raise it."""
    content = b""
    for _ in range(5_000):
        content = rlp.codec.length_prefix(len(content), 0xC0) + content
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        with pytest.raises(EthereumError, match="the thing"):
            decode(content, "thing")
    finally:
        sys.setrecursionlimit(before)


# Headers


@pytest.mark.parametrize(("validators", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7)])
def test_two_thirds_of_the_validators_are_needed(validators: int, needed: int) -> None:
    assert quorum(validators) == needed


def test_an_ibft_header_is_sealed_by_its_validators() -> None:
    SealedHeader.decode(HEADER).check_seals(VALIDATORS)
    assert block_hash(HEADER).hex() == IBFT["block"]


def test_each_changed_byte_of_an_ibft_header_is_refused() -> None:
    for at in range(len(HEADER)):
        changed = HEADER[:at] + bytes([HEADER[at] ^ 1]) + HEADER[at + 1 :]
        with pytest.raises(EthereumError):
            SealedHeader.decode(changed).check_seals(VALIDATORS)


def test_a_header_that_nobody_seals_proves_nothing() -> None:
    members = rlp.decode(HEADER)
    members[13] = bytes(32)
    with pytest.raises(EthereumError, match="neither"):
        SealedHeader.decode(rlp.encode(members))
    assert block_hash(rlp.encode(members)) == keccak.new(digest_bits=256, data=rlp.encode(members)).digest()


@pytest.mark.parametrize("extra", [b"", bytes(32), bytes(32) + b"\xc0", rlp.encode([b""] * 4), rlp.encode(b"text")])
def test_other_extra_data_are_refused(extra: bytes) -> None:
    members = rlp.decode(HEADER)
    members[12] = extra
    with pytest.raises(EthereumError):
        SealedHeader.decode(rlp.encode(members))


def test_a_header_with_another_number_of_members_is_refused() -> None:
    with pytest.raises(EthereumError, match="15 members"):
        SealedHeader.decode(rlp.encode([*rlp.decode(HEADER), b"\1"]))
