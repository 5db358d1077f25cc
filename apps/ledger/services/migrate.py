"""Move a market to another ledger of `LEDGERS`. Broken off anywhere, it goes on from there when asked again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from apps.ledger.choices import CommandState
from apps.ledger.consumers import consumers
from apps.ledger.ledgers import get_ledger, options_of
from apps.ledger.models import Command, Cursor, Event, Stream
from apps.ledger.moves import movers
from apps.ledger.services.founding import found_for
from apps.ledger.services.listen import consume, listen
from apps.ledger.services.sweep import drain
from evidence.keys import PublicKey
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.contract import Code
from ledger_adapters.keys import KeyFolder
from ledger_adapters.moving import CannotMove, Move, Step

# What is being done, and how many entries of it are done.
Progress = Callable[[str, int], None]

APPROVALS = "approvals"

# The entries of the old ledger and what was taken over from it stand in the same order.
_PAIRS = """
    CREATE TEMPORARY TABLE ledger_moved ON COMMIT DROP AS
    SELECT old.position AS old, new.position AS new, old.command_id = new.command_id AS is_same FROM (
        SELECT position, command_id, row_number() OVER (ORDER BY position) AS number
        FROM ledger_event WHERE ledger = %(old)s AND position <= %(closing)s
    ) old FULL JOIN (
        SELECT position, command_id, row_number() OVER (ORDER BY position) AS number
        FROM ledger_event WHERE ledger = %(new)s AND origin IS NOT NULL
    ) new USING (number)
"""
_UNLIKE = "SELECT count(*) FROM ledger_moved WHERE is_same IS NOT true"
_RECEIPTS = """
    UPDATE ledger_command SET event = ledger_moved.new FROM ledger_moved, ledger_stream
    WHERE ledger_stream.id = stream_id AND ledger_stream.ledger = %(old)s AND event = ledger_moved.old
"""


class NotSigned(CannotMove):
    """A party has not signed a step yet."""


@dataclass(frozen=True, slots=True)
class Moved:
    """`receipts`: of commands that were applied or rejected; `refused`: commands that met the closed ledger."""

    entries: int
    receipts: int
    refused: int
    root: bytes


def migrate(old: str, new: str, progress: Progress = lambda what, done: None) -> Moved:
    """Raises `CannotMove` with what stands in the way, `NotSigned` when a party has to sign first."""
    adapter = get_ledger(old)
    found_for(new, adapter.genesis().market)
    move = Move(adapter, get_ledger(new))
    if move.closing() is None:
        _check_quiet(old)
    while (step := _next_step(move, progress)) is not None:
        step.take(_signer(step))
    return _change_over(move)


def approval(old: str, new: str, progress: Progress = lambda what, done: None) -> tuple[Step, bytes] | None:
    """The community's signature over the next step, after it has worked out by itself what that has to be.

    None when there is none left. Raises `CannotMove`.
    """
    step = Move(get_ledger(old), get_ledger(new)).next_step(lambda done: progress("compared", done))
    if step is None:
        return None
    key = step.ledger.genesis().community
    signer = _kept(step.ledger, key)
    if signer is None:
        raise CannotMove(f"the community's key is not in the folder KEYS of ledger {step.ledger.alias!r}")
    return step, signer(step.digest)


def _next_step(move: Move, progress: Progress) -> Step | None:
    taken = move.new.imported()
    if taken is not None and taken.is_open:
        move.take_over(lambda done: progress("taken over", done))
    return move.next_step(lambda done: progress("compared", done))


def _check_quiet(ledger: str) -> None:
    drain(ledger)
    waiting = Command.objects.filter(stream__ledger=ledger, state__in=[CommandState.QUEUED, CommandState.SENT]).count()
    if waiting:
        raise CannotMove(
            f"{waiting} commands wait for ledger {ledger!r}: what was signed for it cannot be sent to another. Let them"
            " be sent, and resume parked streams, first"
        )


# Signatures


def _signer(step: Step) -> Callable[[PublicKey, bytes], bytes]:
    """Signs with what is in the folder of keys, or gives the signature that a party has left there."""
    folder = _folder(step.ledger)

    def sign(key: PublicKey, digest: bytes) -> bytes:
        kept = _kept(step.ledger, key)
        if kept is not None:
            return kept(digest)
        path = folder / APPROVALS / f"{digest.hex()}-{key.id.hex()[:16]}"
        if not path.is_file():
            raise NotSigned(
                f"the community of ledger {step.ledger.alias!r} has not agreed to {type(step.command.fields).__name__}:"
                f" have it run `ledger agree`, write the signature that it prints to {path}, and try again"
            )
        signature = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if not key.verifies(digest, signature):
            raise NotSigned(f"what stands in {path} is not a signature over {digest.hex()} with that key")
        return signature

    return sign


def _folder(ledger: LedgerAdapter) -> Path:
    return Path(options_of(settings.LEDGERS[ledger.alias]).get("KEYS", "."))


def _kept(ledger: LedgerAdapter, key: PublicKey) -> Callable[[bytes], bytes] | None:
    """What signs with a party's key, if that is kept here."""
    if ledger.operator is not None and ledger.operator.public_key == key:
        return ledger.operator.sign
    folder = _folder(ledger)
    if not (folder / "community.pem").is_file():
        return None
    community = KeyFolder(folder).signer("community")
    return community.sign if community.public_key == key else None


# The database


def _change_over(move: Move) -> Moved:
    """Everything goes on on the new ledger, from one transaction to the next."""
    old, new = move.old.alias, move.new.alias
    for ledger in (old, new):
        listen(ledger)
    consume(old)
    closing = Event.objects.get(ledger=old, command_id=move.closing_command().id, code=Code.APPLIED).position
    taken = move.new.imported()
    assert taken is not None  # noqa: S101 sealed before
    with transaction.atomic():
        _check_heard(old)
        with connection.cursor() as cursor:
            cursor.execute(_PAIRS, {"old": old, "new": new, "closing": closing})
            cursor.execute(_UNLIKE)
            (unlike,) = cursor.fetchone() or (0,)
            if unlike:
                raise CannotMove(f"{unlike} entries of ledger {new!r} were heard here otherwise than those of {old!r}")
            cursor.execute(_RECEIPTS, {"old": old})
            receipts = cursor.rowcount
        # Their rejection is on a ledger that nobody looks at any more.
        late = Command.objects.filter(stream__ledger=old, state=CommandState.REJECTED, code=Code.LEDGER_CLOSED)
        refused = late.update(event=None)
        Stream.objects.filter(ledger=old).update(ledger=new)
        for mover in movers():
            mover(old, new)
    return Moved(taken.count, receipts, refused, taken.root)


def _check_heard(ledger: str) -> None:
    newest = Event.objects.filter(ledger=ledger).aggregate(newest=Max("position"))["newest"]
    cursors = dict(Cursor.objects.filter(ledger=ledger).values_list("reader", "position"))
    behind = [one.name for one in consumers() if cursors.get(one.name, 0) <= newest]
    if behind:
        raise CannotMove(f"{', '.join(behind)} did not hear all of ledger {ledger!r}: see the log for why")
