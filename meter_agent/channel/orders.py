"""An instruction that was checked, what may become of it, and who carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from evidence.box_forms import Signed
from evidence.boxes import AnswerState, Instruction


class Ending(Exception):
    """The program is to end, or to begin again within the process, because of what it was told."""

    def __init__(self, how: "How") -> None:
        super().__init__(how.name.lower())
        self.how = how


class How(Enum):
    RELOAD = auto()  # read the settings again and go on
    RESTART = auto()  # end the process; whoever started it starts it again


class Refusal(Exception):
    """What was told is not begun. `code` is a stable name; the details go into the answer."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(f"{code} {details}" if details else code)
        self.outcome = Outcome(AnswerState.REFUSED, {"code": code, **details})


class Failure(Exception):
    """It was begun and did not work out; the box is as it was before, or safe."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(f"{code} {details}" if details else code)
        self.outcome = Outcome(AnswerState.FAILED, {"code": code, **details})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is answered, and what happens once the answer is stored."""

    state: AnswerState
    body: Mapping[str, Any] = field(default_factory=dict)
    then: How | None = None


def done(then: How | None = None, **body: Any) -> Outcome:
    return Outcome(AnswerState.DONE, body, then)


INTERRUPTED = Outcome(AnswerState.FAILED, {"code": "interrupted"})


@dataclass(frozen=True, slots=True)
class Order:
    """`digest` is the instruction's, `body` its JSON object. Instants in UTC seconds.

    `signed` is the instruction as it came; beyond a restart it is gone.
    """

    sequence: int
    digest: bytes
    kind: int
    since: int
    until: int
    body: Mapping[str, Any]
    signed: Signed[Instruction] | None = None


class Handler(Protocol):
    """Carries out the instructions of one kind. Raises `Refusal` or `Failure`, or `Ending` with no answer yet."""

    async def act(self, order: Order) -> Outcome | None:
        """Begin. None: the outcome is reported later."""

    async def resume(self, order: Order) -> Outcome | None:
        """The process ended after the instruction was begun and before it was answered: say what is known."""
