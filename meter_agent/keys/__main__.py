"""The key process alone: python -m meter_agent.keys, which loads nothing of the agent but its keys."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from meter_agent.keys import KeyFault, open_keys
from meter_agent.keys.process import KeyProcess
from meter_agent.keys.settings import read_process_settings
from meter_agent.tables import ConfigError

log = logging.getLogger(__name__)

DONE, UNUSABLE = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 stopped when asked; 2 settings, socket or keys cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m meter_agent.keys", description="Holds keys and signs with them.")
    parser.add_argument("--config", type=Path, required=True, help="settings of the key process (TOML)")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    try:
        hold_keys(options.config)
    except (ConfigError, KeyFault) as error:
        print(f"meter_agent.keys: {error}", file=sys.stderr)
        return UNUSABLE
    return DONE


def hold_keys(path: Path) -> None:
    """Answer with the settings at `path` until SIGTERM or SIGINT. Raises `ConfigError` and `KeyFault`."""
    settings = read_process_settings(path)
    asyncio.run(_until_stopped(KeyProcess(settings, open_keys(settings.key))))


async def _until_stopped(process: KeyProcess) -> None:
    task = asyncio.ensure_future(process.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
