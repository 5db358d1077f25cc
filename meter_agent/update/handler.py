"""Carries out updates: fetches, unpacks, hands over to the launcher, and answers once its verdict is there."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from meter_agent.channel.orders import Failure, How, Order, Outcome, Refusal, done
from meter_agent.control import UpdateSettings
from meter_agent.link import Allowance
from meter_agent.update.download import download, open_download
from meter_agent.update.folder import ReleaseFolder
from meter_agent.update.release import Offer, Version, read_offer, version_text

# Set by the launcher for the program that it starts: the version that runs.
RELEASE = "METER_AGENT_RELEASE"
LOOK_SECONDS = 1.0


class Update:
    """`answer` stores what became of an instruction, `end` ends the process when nothing is in the way."""

    def __init__(
        self,
        settings: UpdateSettings,
        allowance: Allowance,
        answer: Callable[[Order, Outcome], None],
        end: Callable[[How], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.allowance = allowance
        self.answer = answer
        self.end = end
        self.folder = ReleaseFolder(settings.folder)
        self._begun: asyncio.Queue[tuple[Order, Offer | None]] = asyncio.Queue()
        self._is_busy = False

    async def act(self, order: Order) -> None:
        self._current()
        offer = read_offer(order, self.settings.release_key, self.settings.largest_bytes)
        if self._is_busy or self.folder.trial() is not None:
            raise Refusal("busy")
        if offer.version <= self._current():
            raise Refusal("not_newer", version=offer.name, current=version_text(self._current()))
        self._is_busy = True
        self._begun.put_nowait((order, offer))

    async def resume(self, order: Order) -> Outcome | None:
        """The launcher's verdict, if there is one; it may still be out, and an archive may still be on its way."""
        verdict = self._verdict(order)
        if verdict is not None:
            return verdict
        trial = self.folder.trial()
        if trial is not None and trial.get("sequence") == order.sequence:
            self._begun.put_nowait((order, None))
        else:
            await self.act(order)
        return None

    async def run(self) -> None:
        while True:
            order, offer = await self._begun.get()
            if offer is None:
                await self._await_verdict(order)
                continue
            try:
                await self._install(order, offer)
            except Failure as error:
                self.answer(order, error.outcome)
            else:
                await self.end(How.RESTART)
            finally:
                self._is_busy = False

    async def _install(self, order: Order, offer: Offer) -> None:
        archive = self.folder.archive(offer.name)
        async with open_download(self.allowance, self.settings.ca_file) as client:
            await download(offer, archive, client, self.allowance)
        await asyncio.to_thread(self.folder.install, archive, offer.name)
        self.folder.begin_trial(order.sequence, offer.version, self._current(), self.settings.healthy_seconds)

    async def _await_verdict(self, order: Order) -> None:
        while (verdict := self._verdict(order)) is None:
            await asyncio.sleep(LOOK_SECONDS)
        self.answer(order, verdict)

    def _verdict(self, order: Order) -> Outcome | None:
        found = self.folder.outcome(order.sequence)
        if found is None:
            return None
        if found.get("done"):
            return done(version=found.get("version"))
        return Failure("rolled_back", version=found.get("version"), reason=found.get("reason")).outcome

    def _current(self) -> Version:
        current = self.folder.current()
        if current is None or os.environ.get(RELEASE) is None:
            raise Refusal("not_offered", message="the program was not started by its launcher")
        return current


def running_release() -> str | None:
    return os.environ.get(RELEASE)
