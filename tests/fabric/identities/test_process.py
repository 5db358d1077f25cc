"""How we talk to the process of hfc, with other programs in its place."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.fabric.identities import HfcFailed, Unreachable, process
from ledger_adapters.fabric.identities.process import run_hfc

PYTHON = Path(sys.executable)
SECRET = "a secret that nobody may see"

SIGNS = """
import json, sys
request = json.loads(sys.stdin.readline())
found = []
for digest in request["digests"]:
    print(json.dumps({"sign": digest}), flush=True)
    found.append(json.loads(sys.stdin.readline())["signature"])
print(json.dumps({"result": found}), flush=True)
"""
SHOWS = """
import json, os, sys
heard = json.loads(sys.stdin.readline())
print(json.dumps({"result": {"heard": heard, "argv": sys.orig_argv, "environment": sorted(os.environ)}}))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "program.py"
    monkeypatch.setattr(process, "PROGRAM", path)
    return path


def test_what_is_asked_for_is_signed_here(program: Path) -> None:
    program.write_text(SIGNS)
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
    answer = run_hfc(PYTHON, {"digests": digests}, lambda digest: b"signed " + digest, 5)
    assert answer == {"result": [(b"signed " + bytes.fromhex(digest)).hex() for digest in digests]}


def test_nothing_is_signed_for_whom_nobody_is(program: Path) -> None:
    program.write_text(SIGNS)
    with pytest.raises(HfcFailed, match="where nobody signs"):
        run_hfc(PYTHON, {"digests": ["00" * 32]}, None, 5)


def test_secrets_go_through_the_pipe_alone(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    program.write_text(SHOWS)
    seen = run_hfc(PYTHON, {"secret": SECRET, "ort": "Köln"}, None, 5)["result"]
    assert seen["heard"] == {"secret": SECRET, "ort": "Köln"}
    assert SECRET not in json.dumps([seen["argv"], seen["environment"]])
    assert "DATABASE_PASSWORD" not in seen["environment"]


def test_long_requests_and_complaints_block_nobody(program: Path) -> None:
    program.write_text(f"import sys; sys.stderr.write('x' * 1_000_000)\n{SHOWS}")
    long = "ü" * 500_000
    assert run_hfc(PYTHON, {"long": long}, None, 5)["result"]["heard"] == {"long": long}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import nothing_like_hfc", "No module named 'nothing_like_hfc'$"),
        ("import sys; sys.stdin.readline(); sys.exit(7)", "without an answer: 7$"),
    ],
)
def test_process_that_ends_says_why(content: str, said: str, program: Path) -> None:
    program.write_text(content)
    with pytest.raises(HfcFailed, match=said):
        run_hfc(PYTHON, {"secret": SECRET * 10_000}, None, 5)


def test_process_that_hangs_is_ended(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START", 0.1)
    program.write_text("import time; time.sleep(100)")
    with pytest.raises(Unreachable, match="no answer within"):
        run_hfc(PYTHON, {}, None, 0.4)


def test_python_that_is_not_there(program: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="the Python of hfc cannot be started"):
        run_hfc(tmp_path / "python", {}, None, 5)
