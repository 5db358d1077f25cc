"""Children of the supervisor that end by themselves."""

import signal
import sys
from pathlib import Path

import pytest

from energymarket.supervisor.core import Child, ChildDied, StopOrder, Supervisor


def python(name: str, code: str, *, is_job: bool = True) -> Child:
    return Child(name, [sys.executable, "-c", code], StopOrder.AGENTS, is_job=is_job)


def test_jobs_end_and_give_their_exit_codes(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        supervisor.start(python("good", "print('done')"))
        supervisor.start(python("bad", "raise SystemExit(3)"))
        supervisor.start(python("killed", "import os; os.kill(os.getpid(), 9)"))
        assert supervisor.wait_for("killed") == -signal.SIGKILL
        assert supervisor.wait_for("bad") == 3
        assert supervisor.wait_for("good") == 0
        assert supervisor.log_file("good").read_text() == "done\n"
        assert not supervisor.is_running("good")
        assert list(supervisor.places.pids.iterdir()) == []


def test_who_waits_for_a_job_notices_a_dead_server(short_folder: Path) -> None:
    with Supervisor(short_folder) as supervisor:
        supervisor.start(python("job", "import time; time.sleep(60)"))
        supervisor.start(python("server", "", is_job=False))
        with pytest.raises(ChildDied, match="server"):
            supervisor.wait_for("job")
