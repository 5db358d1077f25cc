"""Where a command stands, and how the ledger as a whole is doing."""

from dataclasses import dataclass

from apps.ledger.choices import CommandState, TransactionState
from apps.ledger.ledgers import get_ledger
from apps.ledger.messages import reason
from apps.ledger.models import Attempt, Command, Cursor, Stream, Transaction
from apps.ledger.services.listen import LISTENER


@dataclass(frozen=True, slots=True)
class Standing:
    """`state` as `CommandState`; `entry` and `time` (UTC seconds) once the ledger has answered."""

    state: str
    entry: int | None = None
    time: int | None = None
    reason: str = ""


def standing(command_id: bytes) -> Standing:
    """Raises `Command.DoesNotExist`."""
    return standing_of(Command.objects.get(command_id=command_id))


def standing_of(command: Command) -> Standing:
    words = reason(command.code) if command.state == CommandState.REJECTED and command.code is not None else ""
    return Standing(command.state, command.event, command.ledger_time, words)


@dataclass(frozen=True, slots=True)
class Status:
    """`size` and `lag`: how many entries or blocks there are, and how many of them have not been heard yet."""

    size: int
    time: int
    lag: int
    queued: int
    sent: int
    in_flight: int
    parked: int
    last_failure: str


def status(ledger: str) -> Status:
    """Raises `Transient` when the ledger cannot be reached, `Misconfigured` when the settings do not fit it."""
    adapter = get_ledger(ledger)
    adapter.genesis()
    health = adapter.health()
    heard = Cursor.objects.filter(ledger=ledger, reader=LISTENER).values_list("position", flat=True).first() or 0
    commands = Command.objects.filter(stream__ledger=ledger)
    in_flight = Transaction.objects.filter(ledger=ledger).exclude(state=TransactionState.FINAL)
    failure = Attempt.objects.filter(transaction__in=in_flight).exclude(message="").order_by("-id").first()
    return Status(
        size=health.size,
        time=health.time,
        lag=health.size - adapter.entries_before(heard),
        queued=commands.filter(state=CommandState.QUEUED).count(),
        sent=commands.filter(state=CommandState.SENT).count(),
        in_flight=in_flight.count(),
        parked=Stream.objects.filter(ledger=ledger).exclude(parked_by=None).count(),
        last_failure=failure.message if failure else "",
    )
