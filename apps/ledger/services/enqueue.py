"""Write a command into the outbox, in the transaction of the change it records."""

import secrets
from collections.abc import Callable
from typing import Any

import structlog
from django.db import connection, transaction

from apps.ledger import models
from apps.ledger.choices import CommandState
from apps.ledger.exceptions import Refused
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.wake import wake
from evidence import commands
from evidence.commands import Fields
from evidence.hashing import ZERO
from evidence.keys import Signer
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.contract import domain_of, prepare, preview
from ledger_adapters.exceptions import Misconfigured, Transient

logger = structlog.get_logger(__name__)

# Puts a command into the outbox and returns its id: with a key kept here, or with the signatures that it came with.
Send = Callable[[Fields], bytes]

# Seconds after which a command is void. A rejected one could else be sent again by others, years later.
LONGEST_WAIT = 30 * 86_400


def enqueue(
    fields: Fields,
    *signers: Signer,
    after: bytes = ZERO,
    valid_until: int = 0,
    nonce: bytes | None = None,
    ledger: str = DEFAULT,
) -> bytes:
    """Queue a command with the signatures of people or devices; returns its id. Without `valid_until` it is void when
    the ledger has not taken it after `LONGEST_WAIT`.

    The contract is asked first, with all that waits before it in its stream and the predecessor it names: raises
    `Refused` when it would reject, and then nothing is written.
    """
    adapter = get_ledger(ledger)
    genesis = adapter.genesis()
    until = valid_until or adapter.now() + LONGEST_WAIT
    command = commands.Command(genesis.market, nonce or secrets.token_bytes(32), fields, after, until)
    return enqueue_signed(command.signed_by(genesis.ledger, *signers), ledger=ledger)


def enqueue_signed(command: commands.Command, *, ledger: str = DEFAULT) -> bytes:
    """The same for a command that arrives signed, from a wallet or a device."""
    if not connection.in_atomic_block:
        raise RuntimeError("a command is queued in the transaction of the change it records")
    stream = _lock_stream(ledger, domain_of(command))
    _ask_contract(get_ledger(ledger), stream, command)
    _append(stream, command)
    transaction.on_commit(lambda: wake(ledger))
    return command.id


def enter_receipt(event: models.Event) -> None:
    """Enter an applied command that never was in this outbox, behind those of its stream, with its receipt."""
    command = commands.Command.from_bytes(bytes(event.envelope))
    _append(
        _lock_stream(event.ledger, domain_of(command)),
        command,
        state=CommandState.CONFIRMED,
        code=event.code,
        ledger_time=event.time,
        event=event.position,
    )


def _append(stream: models.Stream, command: commands.Command, **receipt: Any) -> None:
    stream.length += 1
    stream.save(update_fields=["length"])
    models.Command.objects.create(
        command_id=command.id,
        stream=stream,
        position=stream.length,
        kind=command.fields.KIND,
        envelope=command.envelope.encode(),
        after=None if command.after == ZERO else command.after,
        **receipt,
    )


def _lock_stream(ledger: str, domain: bytes) -> models.Stream:
    """The order of commands comes from this lock."""
    lane = int.from_bytes(domain[:8], "big") % models.LANES
    stream, _ = models.Stream.objects.select_for_update().get_or_create(
        ledger=ledger, domain=domain, defaults={"lane": lane}
    )
    return stream


def _ask_contract(adapter: LedgerAdapter, stream: models.Stream, command: commands.Command) -> None:
    envelopes = [*_waiting(stream, command), command.envelope.encode()]
    prepared = prepare(commands.Batch(tuple(envelopes), b""))
    try:
        values = adapter.read(prepared.reads)
    except (Transient, Misconfigured) as error:
        # Whether the ledger is there must not decide whether people can act: what it rejects later is compensated.
        logger.warning("not_asked_before", ledger=adapter.alias, command=command.id.hex(), error=str(error))
        return
    outcome = preview(prepared, values, adapter.now(), adapter.wallet_domain()).outcomes[-1]
    if not outcome.code.is_success:
        raise Refused(outcome.code)


def _waiting(stream: models.Stream, command: commands.Command) -> list[bytes]:
    """Envelopes not yet confirmed that the ledger will see before `command`: its predecessors, then its stream."""
    waiting = [CommandState.QUEUED, CommandState.SENT]
    chain: list[bytes] = []
    after: bytes | None = None if command.after == ZERO else command.after
    while after is not None:
        earlier = models.Command.objects.filter(command_id=after, state__in=waiting).first()
        if earlier is None:
            break
        chain.insert(0, bytes(earlier.envelope))
        after = bytes(earlier.after) if earlier.after else None
    ahead = stream.commands.filter(state__in=waiting).order_by("position").values_list("envelope", flat=True)
    return chain + [envelope for envelope in map(bytes, ahead) if envelope not in chain]
