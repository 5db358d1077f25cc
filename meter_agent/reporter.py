"""Brings the totals of whole days to a ledger, one destination each."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from evidence.keys import Signer
from ledger_adapters.contract.errors import Code
from meter_agent.config import Config
from meter_agent.daily import REPORTED, energy_of, report
from meter_agent.destinations import Ledger
from meter_agent.faults import Fault
from meter_agent.journal import Journal, Report
from meter_agent.journal.errors import JournalError
from meter_agent.link import Allowance
from meter_agent.senders import LedgerSender
from meter_agent.slots import day_bounds, day_number, day_of, day_text, local_day
from meter_agent.uplink import LONGEST_PAUSE, Unavailable, pause, signing

log = logging.getLogger(__name__)

DONE, REFUSED = "done", "refused"
# A server that has taken a report is asked again for what the ledger said.
ASK_AGAIN_SECONDS = 300
# What passes: a device whose registration is on its way, a market that moves.
PASSING = {
    Code.PREDECESSOR_MISSING,
    Code.DEVICE_UNKNOWN,
    Code.DEVICE_INACTIVE,
    Code.PARTICIPANT_INACTIVE,
    Code.IMPORT_OPEN,
    Code.LEDGER_CLOSED,
}


class Reporter:
    """`key_of` gives the key that speaks about a day, the one before where that has been exchanged since."""

    def __init__(
        self,
        destination: Ledger,
        config: Config,
        journal: Journal,
        key_of: Callable[[int], Signer],
        sender: LedgerSender,
        allowance: Allowance,
        clock: Callable[[], float] = time.time,
        shortest_pause: float = 1,
    ) -> None:
        self.destination = destination
        self.config = config
        self.journal = journal
        self.key_of = key_of
        self.sender = sender
        self.allowance = allowance
        self.clock = clock
        self.shortest_pause = shortest_pause
        self._waiting = asyncio.Event()
        self.fault = Fault(f"reporting to {destination.name}")
        self._expected = {
            (point.id, register) for point in config.points for register in point.terms if register in REPORTED
        }

    def wake(self) -> None:
        """There are new readings."""
        self._waiting.set()

    async def run(self) -> None:
        """Report for ever."""
        failures = 0
        while True:
            self._waiting.clear()
            try:
                is_settled = await self.report_all()
            except Unavailable as error:
                failures += 1
                await asyncio.sleep(pause(failures, error.retry_after, self.shortest_pause))
            except JournalError as error:
                self.fault.failed(error)
                await asyncio.sleep(LONGEST_PAUSE)
            else:
                failures = 0
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.wait(), None if is_settled else ASK_AGAIN_SECONDS)

    async def drain(self, attempts: int) -> bool:
        """Hand in what can be (true), or until so many attempts in a row have failed (false)."""
        for failures in range(1, attempts + 1):
            try:
                await self.report_all()
                return True
            except Unavailable as error:
                if failures < attempts:
                    await asyncio.sleep(pause(failures, error.retry_after, self.shortest_pause))
        return False

    async def report_all(self) -> bool:
        """Sign what has become whole and send all that waits; false when a ledger's word is still to come.

        Raises `Unavailable`.
        """
        try:
            with signing():
                self.sign_reports()
        except Unavailable as error:
            self.fault.failed(error)
            raise
        is_settled = True
        for waiting in self.journal.waiting_reports(self.destination.name):
            await self.allowance.afford(len(waiting.envelope), "https:")
            try:
                is_settled &= await self._send(waiting)
            except Unavailable as error:
                self.fault.failed(f"{day_text(waiting.day)}: {error}")
                raise
            self.fault.cleared()
        return is_settled

    def sign_reports(self) -> None:
        """Days that are over and whole. One that lacks a slot is asked again whenever there are new readings."""
        now = self.clock()
        today = day_number(local_day(int(now), self.config.time_zone))
        for day in self.journal.days_without_report(self.destination.name, today):
            start, end = day_bounds(day_of(day), self.config.time_zone)
            energy = energy_of(self.journal.totals(day), self._expected, end - start)
            if energy is not None:
                command = report(self.destination, self.config.device, day, energy, self.key_of(day))
                self.journal.add_report(self.destination.name, day, command.envelope.encode(), int(now))

    async def _send(self, waiting: Report) -> bool:
        name = self.destination.name
        code = await self.sender.send(waiting, lambda sent: self.journal.write_down(name, waiting.day, sent))
        if code is None:
            return False
        if code in PASSING:
            raise Unavailable(f"the ledger answers {code.name}", retry_after=60)
        is_done = code in (Code.APPLIED, Code.ALREADY_APPLIED)
        self.journal.settle_report(name, waiting.day, DONE if is_done else REFUSED, code, int(self.clock()))
        if is_done:
            log.info("the total of %s is on %s", day_text(waiting.day), name)
        else:
            log.error("the total of %s is refused by %s: %s", day_text(waiting.day), name, code.name)
        return True
