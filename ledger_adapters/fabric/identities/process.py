"""The process in which hfc runs, seen from here; `hfc_process.py` says how the two talk."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.identities.exceptions import HfcFailed, Unreachable

PROGRAM = Path(__file__).with_name("hfc_process.py")
START = 20.0  # seconds that Python and hfc may take to load on a busy machine

Child = subprocess.Popen[bytes]
Sign = Callable[[bytes], bytes]


def run_hfc(python: Path, request: Mapping[str, Any], sign: Sign | None, timeout: float) -> Mapping[str, Any]:
    """The answer to one request; `sign` gives the signature (DER) over a digest where one is asked for.

    A process per call: it is rarely needed, and nothing stays in it. Raises `Misconfigured` where `python` cannot be
    started, `HfcFailed`, and `Unreachable` when there is no answer long after `timeout` seconds.
    """
    late = threading.Event()
    with tempfile.TemporaryFile() as complaints, _start(python, complaints.fileno()) as child:

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout + START, stop)
        timer.start()
        try:
            answer = _talk(child, request, sign)
        finally:
            timer.cancel()
            child.kill()
        if answer is not None:
            return answer
        if late.is_set():
            raise Unreachable(f"no answer within {timeout + START:.0f} s")
        child.wait()
        complaints.seek(0)
        last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise HfcFailed(f"the process of hfc, run by {python}, ended without an answer: {last or child.returncode}")


def _start(python: Path, complaints: int) -> Child:
    pipe = subprocess.PIPE
    try:
        # Isolated, without our environment: it sees no modules but its own, and no secrets.
        return Child([python, "-I", PROGRAM], bufsize=0, stdin=pipe, stdout=pipe, stderr=complaints, env={})
    except OSError as error:
        raise Misconfigured(f"the Python of hfc cannot be started: {error}") from error


def _talk(child: Child, request: Mapping[str, Any], sign: Sign | None) -> Mapping[str, Any] | None:
    """None when the process ends before it answers."""
    assert child.stdin and child.stdout  # noqa: S101 they are pipes
    try:
        child.stdin.write(_line(request))
        # Not all in single bytes, as the pipe itself would give a line.
        with open(child.stdout.fileno(), "rb", closefd=False) as incoming:
            for line in incoming:
                message: dict[str, Any] = json.loads(line)
                if "sign" not in message:
                    return message
                if sign is None:
                    raise HfcFailed("the process of hfc asks for a signature where nobody signs")
                child.stdin.write(_line({"signature": sign(bytes.fromhex(message["sign"])).hex()}))
    except BrokenPipeError:
        pass
    return None


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
