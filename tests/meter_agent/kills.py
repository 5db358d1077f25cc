"""Run by test_kills.py: an agent that is killed again and again while it reads and sends, then left to finish.

python -m tests.meter_agent.kills FOLDER SERVER KILLS SLOTS SEED SECRET
"""

import asyncio
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from evidence.keys import Algorithm, SoftwareKey
from meter_agent.daemon import Agent
from meter_agent.journal import Journal
from meter_agent.simulator import SetClock, Simulation
from tests.meter_agent.support import DEVICE, NOON, PROFILE, STEP, house, make_config, shop


async def work(folder: Path, server: str, slots: int, key: SoftwareKey) -> None:
    """Read from where the journal stands until the last slot, sending all the while; then send the rest."""
    clock = SetClock(NOON)
    end = NOON + slots * STEP
    with Journal(folder / "journal.sqlite", DEVICE) as journal:
        async with Simulation(PROFILE, clock) as simulation:
            config = make_config(folder, server, house(simulation.port), shop(simulation.port))
            async with Agent(replace(config, poll_seconds=1), journal, key, clock) as agent:
                for uplink in agent.uplinks:
                    uplink.shortest_pause = 0.01
                sending = asyncio.create_task(agent.uplinks[0].run())
                while (boundary := next_boundary(agent)) <= end:
                    clock.now = boundary
                    await agent.read_boundary(boundary, patient=False)
                    agent.wake()
                sending.cancel()
                await agent.drain(1000)


def next_boundary(agent: Agent) -> int:
    """Of the point that was read least: the box may have died between one and the other."""
    read = [agent.journal.state(point.id).read_at for point in agent.config.points]
    return min(NOON if at is None else at + STEP for at in read)


def main(folder: Path, server: str, kills: int, slots: int, seed: int, secret: str) -> None:
    key = SoftwareKey(Algorithm.P256, bytes.fromhex(secret))
    moments = random.Random(seed)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            asyncio.run(work(folder, server, slots, key))
            os._exit(0)
        time.sleep(moments.uniform(0.01, 0.25))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit("there was nothing left to do before the last kill")
    asyncio.run(work(folder, server, slots, key))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
