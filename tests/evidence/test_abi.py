from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_abi.exceptions import EncodingError as EthEncodingError
from hypothesis import given
from hypothesis import strategies as st

from evidence.abi import I64, I128, U8, U32, U64, U128, Bytes, Bytes32, Bytes32s, EncodingError, Struct, U64s, U128s
from tests.vectors.forms import struct
from tests.vectors.read import raw, value, vectors

VECTORS = vectors("encoding")


@dataclass(frozen=True, slots=True)
class Everything(Struct):
    a: U8
    words: Bytes32s
    b: U32
    c: U64
    numbers: U64s
    d: U128
    e: I64
    f: I128
    large: U128s
    word: Bytes32
    content: Bytes


TYPES = (
    "uint8", "bytes32[]", "uint32", "uint64", "uint64[]", "uint128", "int64", "int128", "uint128[]", "bytes32", "bytes",
)  # fmt: skip


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def lists(items: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=most).map(tuple)


words = st.binary(min_size=32, max_size=32)
everything = st.builds(
    Everything, unsigned(8), lists(words), unsigned(32), unsigned(64), lists(unsigned(64)), unsigned(128), signed(64),
    signed(128), lists(unsigned(128)), words, st.binary(max_size=70),
)  # fmt: skip


def values(record: Everything) -> list[Any]:
    return [getattr(record, name) for name in Everything.__slots__]


@pytest.mark.parametrize("vector", VECTORS["abi"], ids=lambda vector: ",".join(vector["types"]))
def test_vectors_agree_with_eth_abi(vector: Any) -> None:
    encoding, record = raw(vector["encoding"]), struct(vector["types"])
    assert encoding == abi_encode(vector["types"], value(vector["values"]))
    assert record.decode(encoding) == record(*value(vector["values"]))


@pytest.mark.parametrize("vector", VECTORS["abiRefused"], ids=lambda vector: ",".join(vector["types"]) + vector["why"])
def test_bytes_that_are_no_encoding_are_refused(vector: Any) -> None:
    with pytest.raises(EncodingError):
        struct(vector["types"]).decode(raw(vector["encoding"]))


@given(everything)
def test_records_encode_as_eth_abi_does_and_come_back(record: Everything) -> None:
    encoding = record.encode()
    assert encoding == abi_encode(TYPES, values(record))
    assert Everything.decode(encoding) == record


def is_the_encoding_of_something(content: bytes) -> bool:
    """By eth_abi's account."""
    try:
        found = abi_decode(TYPES, content)
        return abi_encode(TYPES, found) == content
    except (DecodingError, EthEncodingError, OverflowError):
        return False


def accepts(content: bytes) -> bool:
    try:
        return Everything.decode(content).encode() == content
    except EncodingError:
        return False


def test_every_changed_byte_gives_another_record_or_is_refused() -> None:
    record = Everything(1, (b"\x01" * 32,), 2, 3, (4, 5), 6, -7, -8, (9,), b"\x02" * 32, b"abc")
    good = record.encode()
    refused = 0
    for at in range(len(good)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            changed = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
            accepted = accepts(changed)
            assert accepted == is_the_encoding_of_something(changed), f"byte {at} ^ {flip:#x}"
            refused += not accepted
    assert 0 < refused < len(good) * 4


@given(everything, st.data())
def test_missing_and_added_bytes_are_refused(record: Everything, data: st.DataObject) -> None:
    good = record.encode()
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:cut], good + b"\x00", good + bytes(32), bytes(32) + good):
        with pytest.raises(EncodingError):
            Everything.decode(bad)


@pytest.mark.parametrize(
    ("type_name", "wrong"),
    [
        *((f"uint{bits}", wrong) for bits in (8, 32, 64, 128) for wrong in (-1, 2**bits)),
        *((f"int{bits}", wrong) for bits in (64, 128) for wrong in (-(2 ** (bits - 1)) - 1, 2 ** (bits - 1))),
        *(("uint8", wrong) for wrong in (True, 1.0, "1", None, b"\x01")),
        *(("bytes32", wrong) for wrong in (b"", bytes(31), bytes(33), bytearray(32), "0" * 32)),
        *(("bytes32[]", wrong) for wrong in ((bytes(32),) * 65, [bytes(32)], (bytes(31),), None)),
        *(("uint64[]", wrong) for wrong in ((2**64,), (-1,), (True,))),
    ],
)
def test_values_out_of_range_fail_when_the_record_is_made(type_name: str, wrong: object) -> None:
    with pytest.raises(EncodingError):
        struct([type_name])(wrong)
