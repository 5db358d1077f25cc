"""All that runs in a box: the agent that reads and sends, the channel, what is steered, the local API."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from evidence.boxes import InstructionKind
from evidence.canonical import encode_bytes
from evidence.keys import Signer
from meter_agent.channel.instants import Instants
from meter_agent.channel.line import Line
from meter_agent.channel.modbus import ModbusActuator, ModbusSwitch
from meter_agent.channel.outputs import Output, Outputs
from meter_agent.channel.schedules import Plant, Schedules
from meter_agent.channel.service import Channel
from meter_agent.channel.store import Store
from meter_agent.channel.tasks import Configure, Reread, Restart
from meter_agent.config import Config, read_config
from meter_agent.configuration import configuration_path
from meter_agent.control import PAUSE_ON_A_SLOW_LINE, ChannelSettings, Control, UpdateSettings
from meter_agent.daemon import Agent
from meter_agent.destinations import Market, Relay
from meter_agent.exchange import PATH as EXCHANGE_PATH
from meter_agent.exchange import Exchanges, RotateKey
from meter_agent.health import Heartbeat, notify, say_when_healthy
from meter_agent.journal import Journal
from meter_agent.keys import open_keys
from meter_agent.local_api import Answer, LocalApi, read_token, sign_text
from meter_agent.senders.relay import RelaySender
from meter_agent.slots import iso
from meter_agent.tables import ConfigError, Table
from meter_agent.update.handler import Update, running_release

Work = Callable[[], Coroutine[Any, Any, None]]


class Box:
    """Made inside a running event loop. Raises `ConfigError`, `KeyFileError` and `StoreError`."""

    def __init__(self, config: Config, control: Control, journal: Journal, key: Signer) -> None:
        self.config = config
        self.control = control
        self.journal = journal
        self.key = key
        self.exchanges = Exchanges(config, open_keys(config.key))
        self.agent = Agent(config, journal, key, key_of=lambda day: self.exchanges.key_of(day, key))
        self.agent.beat = Heartbeat()
        self.stack = AsyncExitStack()
        self.work: list[Work] = [self.agent.run]
        self.plants: list[Plant] = []
        self.outputs: list[Output] = []
        self.channel = self._open_channel(control.channel) if control.channel else None
        if control.local_api is not None:
            token = read_token(control.local_api)
            self.work.append(LocalApi(control.local_api, token, self._answers()).run)

    async def __aenter__(self) -> Self:
        await self.stack.enter_async_context(self.agent)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stack.aclose()

    async def run(self) -> None:
        """For ever. Raises `Ending` when the utility asks for it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in self.work:
                    tasks.create_task(work())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            notify("STOPPING=1")

    def _open_channel(self, settings: ChannelSettings) -> Channel:
        if not self.config.trusted:
            raise ConfigError("trusted: must be given where there is a channel: the keys of the utility")
        store = Store(self.config.journal.with_name("channel.sqlite"))
        self.stack.callback(store.close)
        pause = settings.pause_seconds
        if pause is None:
            pause = 0 if self.config.bytes_per_day is None else PAUSE_ON_A_SLOW_LINE
        agent, config = self.agent, self.config
        channel = Channel(
            config.device,
            self.key,
            config.trusted,
            store,
            Line(self._server(settings), config.device, self.key, agent.client, agent.allowance),
            Instants(store.reached()[1]),
            lambda: agent.reading,
            wait_seconds=settings.wait_seconds,
            pause_seconds=pause,
        )
        self.work.append(channel.run)
        self._offer_tasks(channel)
        self._offer_exchange(channel, settings)
        self._offer_steering(channel)
        if self.control.update is not None:
            self._offer_updates(channel, self.control.update)
        return channel

    def _server(self, settings: ChannelSettings) -> str:
        markets = [each.server for each in self.config.destinations if isinstance(each, Market)]
        if settings.server is None and not markets:
            raise ConfigError("channel.server: must be given where no market is among the destinations")
        return settings.server or markets[0]

    def _offer_tasks(self, channel: Channel) -> None:
        def accept(signed: dict[str, Any]) -> Config:
            return read_config(self.control.path, signed)

        path = configuration_path(self.config.journal)
        channel.handlers[InstructionKind.CONFIGURE] = Configure(path, accept, self.config.trusted)
        channel.handlers[InstructionKind.RESTART] = Restart()
        channel.handlers[InstructionKind.REREAD] = Reread({"sums": self._read_sums})

    def _offer_exchange(self, channel: Channel, settings: ChannelSettings) -> None:
        sender = RelaySender(Relay(self._server(settings)), self.agent.client, EXCHANGE_PATH)
        rotate = RotateKey(self.exchanges, sender, channel.answer, channel.end)
        channel.handlers[InstructionKind.ROTATE_KEY] = rotate
        self.work.append(rotate.run)

    def _offer_steering(self, channel: Channel) -> None:
        self.plants = [
            Plant(
                each.limits,
                ModbusActuator(self.agent.reader.bus(each.place.bus), each.place.unit, each.set_power, each.measured),
                channel.store,
                channel.instants,
                channel.silent_seconds,
                channel.answer,
            )
            for each in self.control.plants
        ]
        self.outputs = [
            Output(
                each.name,
                each.failsafe,
                each.longest_seconds,
                ModbusSwitch(self.agent.reader.bus(each.place.bus), each.place.unit, each.coil),
                channel.instants.monotonic,
            )
            for each in self.control.outputs
        ]
        if self.plants:
            channel.handlers[InstructionKind.SCHEDULE] = Schedules(self.plants)
        if self.outputs:
            channel.handlers[InstructionKind.OUTPUT] = Outputs(self.outputs)
        self.work += [plant.run for plant in self.plants]
        self.work += [output.run for output in self.outputs]

    def _offer_updates(self, channel: Channel, settings: UpdateSettings) -> None:
        update = Update(settings, self.agent.allowance, channel.answer, channel.end)
        channel.handlers[InstructionKind.UPDATE] = update
        self.work.append(update.run)
        release = running_release()
        if release is not None and update.folder.trial() is not None:
            self.work.append(lambda: say_when_healthy(self.config.journal, lambda: update.folder.say_healthy(release)))

    async def _read_sums(self, table: Table) -> dict[str, Any]:
        """The running sums of all registers, as they stand in the journal."""
        table.drop("what")
        table.finish()
        return {"sums": self._sums()}

    def _sums(self) -> list[dict[str, Any]]:
        return [
            {
                "point": encode_bytes(point.id),
                "register": int(register),
                "until": iso(progress.until),
                "sum": progress.reported,
                "unit": register.unit.name,
            }
            for point in self.config.points
            for register, progress in sorted(self.journal.state(point.id).registers.items())
        ]

    def _answers(self) -> Mapping[tuple[str, str], Answer]:
        return {
            ("GET", "/status"): lambda request: self._status(),
            ("GET", "/readings"): lambda request: self._sums(),
            ("POST", "/sign"): lambda request: sign_text(self.key, request),
        }

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "release": running_release(),
            "journal": self.journal.status(),
            "inputs": {name: change.alarm for name, change in self.agent.inputs.state.items()},
        }
        if self.channel is not None:
            status["channel"] = {
                "silent_seconds": self.channel.silent_seconds(),
                "instructions": self.channel.store.newest(10),
            }
            status["plants"] = [
                {"name": each.limits.name, "set": each.current, "measured": each.measured} for each in self.plants
            ]
            status["outputs"] = [{"name": each.name, "is_safe": each.is_safe} for each in self.outputs]
        return status
