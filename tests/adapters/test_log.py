"""The Merkle log in tiles gives the roots and proofs of the plain tree, at every size."""

from itertools import pairwise

import pytest

from evidence import merkle
from evidence.checkpoint import open_note, origin
from evidence.hashing import sha256
from evidence.journal import Entry, envelope_digest
from ledger_adapters.base import Event
from ledger_adapters.embedded import log
from tests.adapters.embedded import Bench, anchor

SIZES = [0, 1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 66_000]


class Tiles:
    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], bytes] = {}
        self.read = 0

    def tile(self, level: int, index: int) -> bytes:
        self.read += 1
        return self.kept[level, index]


def leaves(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(4, "big")) for number in range(count)]


def test_roots_at_every_small_size_one_leaf_at_a_time() -> None:
    tiles, found = Tiles(), leaves(600)
    for size in range(600):
        assert log.root(tiles, size) == merkle.root_of_hashes(found[:size])
        tiles.kept.update(log.extend(tiles, size, found[size : size + 1]))


def test_roots_when_many_leaves_come_at_once() -> None:
    tiles, found = Tiles(), leaves(SIZES[-1])
    for before, after in pairwise(SIZES):
        changed = log.extend(tiles, before, found[before:after])
        assert log.root(log.Overlaid(tiles, changed), after) == merkle.root_of_hashes(found[:after])
        tiles.kept.update(changed)
    # An earlier root can be had from a later log.
    for size in SIZES:
        assert log.root(tiles, size) == merkle.root_of_hashes(found[:size])


def test_appending_and_proving_touch_few_tiles_however_long_the_log_is() -> None:
    tiles, found = Tiles(), leaves(66_000)
    tiles.kept.update(log.extend(tiles, 0, found))
    tiles.read = 0
    changed = log.extend(tiles, 66_000, found[:1])
    log.root(log.Overlaid(tiles, changed), 66_001)
    assert (len(changed), tiles.read) == (1, 3)
    tiles.read = 0
    merkle.path_through(lambda start, end: log.subtree(tiles, start, end), 66_000, [12_345])
    assert tiles.read <= 32


@pytest.mark.parametrize("size", [1, 2, 7, 256, 300, 1000])
def test_paths_are_those_of_the_plain_tree(size: int) -> None:
    tiles, found = Tiles(), leaves(size)
    tiles.kept.update(log.extend(tiles, 0, found))
    for indexes in ([0], [size - 1], sorted({0, size // 3, size // 2, size - 1})):
        path = merkle.path_through(lambda start, end: log.subtree(tiles, start, end), size, indexes)
        assert path == merkle.path(found, indexes)


def leaf_of(event: Event) -> bytes:
    outcome = event.outcome
    return Entry(event.position, outcome.time, outcome.code, outcome.id, envelope_digest(outcome.envelope)).leaf_hash


def test_a_proof_leads_from_events_to_the_signed_checkpoint(bench: Bench) -> None:
    commands = [bench.command(anchor(n)) for n in range(300)]
    bench.apply(*commands[:7])
    bench.apply(*commands[7:])
    proof = bench.ledger.prove([commands[299].id, commands[3].id, commands[256].id])
    assert [event.position for event in proof.events] == [3, 256, 299]
    root = merkle.root_from_path([(event.position, leaf_of(event)) for event in proof.events], proof.path)
    checkpoint = open_note(proof.checkpoint, origin(bench.genesis.ledger), bench.ledger.checkpoint_public_key)
    assert (checkpoint.size, checkpoint.root) == (300, root)


def test_nothing_is_proved_that_was_not_applied(bench: Bench) -> None:
    command, rejected = bench.command(anchor(1)), bench.command(anchor(1))
    bench.apply(command, rejected)
    with pytest.raises(KeyError, match=rejected.id.hex()):
        bench.ledger.prove([command.id, rejected.id])
