"""What the network does to this machine: which processes it ends, which programs and packages it accepts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from deploy.fabric import network
from deploy.fabric.addresses import free_ports
from deploy.fabric.description import HERE, PROJECT, Description, Orderer, Organisation
from deploy.fabric.network import Network, NetworkError, check_programs
from deploy.fabric.packages import make_chaincode_certificates, make_package
from deploy.fabric.processes import Processes, Program, environment


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path / "run", tmp_path / "logs")
    yield processes
    processes.stop(processes.running())


def sleeper(name: str, code: str = "") -> Program:
    return Program(name, [sys.executable, "-c", f"import time; {code}\ntime.sleep(60)"], None, lambda: True)


def test_a_process_is_found_again_by_another_owner(processes: Processes, tmp_path: Path) -> None:
    processes.start([sleeper("a")])
    found = Processes(tmp_path / "run", tmp_path / "logs").find("a")
    assert found is not None
    assert found.pid == json.loads((tmp_path / "run" / "a.pid").read_text())["pid"]
    processes.start([sleeper("a")])
    assert processes.find("a") == found


def test_a_process_that_was_given_the_pid_is_left_alone(processes: Processes, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as stranger:
        (tmp_path / "run").mkdir()
        started = psutil.Process(stranger.pid).create_time() - 100
        (tmp_path / "run" / "a.pid").write_text(json.dumps({"pid": stranger.pid, "started": started}))
        assert processes.find("a") is None
        processes.stop(["a"])
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_that_does_not_stop_is_killed_with_its_children(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.fabric.processes.STOP_TIMEOUT", 0.2)
    ready = tmp_path / "ready"
    code = (
        "import signal, subprocess, sys, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(ready)!r}).write_text(str(child.pid))"
    )
    stubborn = Program("a", sleeper("a", code).argv, None, lambda: ready.exists() and bool(ready.read_text()))
    processes.start([stubborn])
    child = psutil.Process(int(ready.read_text()))
    processes.stop(["a"])
    assert processes.find("a") is None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert "a did not stop" in capsys.readouterr().err


def test_a_process_that_ends_at_once_is_an_error_with_its_last_words(processes: Processes) -> None:
    failing = Program("a", [sys.executable, "-c", "raise SystemExit('no such channel')"], None, lambda: False)
    with pytest.raises(NetworkError, match="a ended:\nno such channel"):
        processes.start([failing])
    processes.stop([])


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "orderer").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NetworkError, match=f"^peer, configtxgen, cryptogen, osnadmin are not on PATH: {tmp_path}$"):
        check_programs()


def test_a_folder_with_something_else_in_it_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "check_programs", lambda: None)
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(NetworkError, match="remove it"):
        Network(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_commands_on_a_folder_without_a_network_say_so(tmp_path: Path) -> None:
    for command in (["status"], ["stop"], ["deploy"], ["restart", "orderer"], ["remove", "village"], ["approvals"]):
        finished = subprocess.run(
            [sys.executable, "-m", "deploy.fabric.network", *command, "--folder", tmp_path / "none"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 1
        assert finished.stderr.endswith("holds no network: start one first\n")


@pytest.mark.parametrize("name", ["utility", "orderer", "channel", "run", "logs", "Village", "a/b", "../x", "1st", ""])
def test_a_name_that_no_organisation_can_join_under(tmp_path: Path, name: str) -> None:
    own = Organisation("M", "127.0.0.1:1", "", "", "", "", "127.0.0.1:2")
    orderer = Orderer("127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:5", "", "", "")
    made = Description("market", "market", 1, "", "", orderer, {"utility": own, "community": own})
    (tmp_path / "network.json").write_text(json.dumps(asdict(made)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NetworkError, match="is no name for an organisation that joins"):
        Network(tmp_path).add(name)
    assert sorted(tmp_path.iterdir()) == before


def test_a_network_made_before_others_could_join_is_read(tmp_path: Path) -> None:
    own = Organisation("UtilityMSP", "127.0.0.1:1", "a", "b", "c", "d", "127.0.0.1:2", "127.0.0.1:3", "market_1:aa")
    orderer = Orderer("127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:6", "e", "f", "g")
    made = Description("market", "market", 1, "AND", "run", orderer, {"utility": own})
    content = asdict(made)
    del content["orderer"]["user"]
    for member in ("standing", "user", "python"):
        del content["organisations"]["utility"][member]
    path = tmp_path / "network.json"
    path.write_text(json.dumps(content))
    assert Description.from_file(path) == made


@pytest.mark.fabric
@pytest.mark.parametrize("option", ["--user", "--python"])
def test_an_organisation_that_is_not_there_has_no_user(tmp_path: Path, option: str) -> None:
    try:
        check_programs()
    except NetworkError as error:
        pytest.skip(str(error))
    command = ["start", "--folder", str(tmp_path / "none"), option, "village=1000"]
    finished = subprocess.run(
        [sys.executable, "-m", "deploy.fabric.network", *command], cwd=PROJECT, capture_output=True, text=True
    )
    assert finished.returncode == 1
    assert finished.stderr == "there is no village, but orderer, utility, community\n"
    assert not (tmp_path / "none").exists()


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(1024 < port < 32_768 for port in ports)


def test_processes_get_nothing_of_our_environment_that_they_do_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    monkeypatch.setenv("CORE_PEER_LISTENADDRESS", "0.0.0.0:7051")
    given = environment({"FABRIC_CFG_PATH": "here"})
    assert given["PATH"] == os.environ["PATH"]
    assert given["FABRIC_CFG_PATH"] == "here"
    assert {"SECRET_KEY", "CORE_PEER_LISTENADDRESS"}.isdisjoint(given)


def test_a_package_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    make_chaincode_certificates(tmp_path / "certificates")
    one = make_package("market_1", "127.0.0.1:20000", tmp_path / "certificates")
    assert make_package("market_1", "127.0.0.1:20000", tmp_path / "certificates") == one
    assert make_package("market_1", "127.0.0.1:20001", tmp_path / "certificates") != one


def builder(script: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HERE / "ccaas_builder" / "bin" / script, *folders], capture_output=True, text=True)


@pytest.mark.parametrize(("type", "code"), [("ccaas", 0), ("CCAAS", 0), ("golang", 1)])
def test_the_builder_takes_services_only(tmp_path: Path, type: str, code: int) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({"type": type, "label": "x"}))
    assert builder("detect", tmp_path, tmp_path).returncode == code


def test_the_builder_names_what_a_connection_lacks(tmp_path: Path) -> None:
    connection = {"address": "127.0.0.1:1", "tls_required": True, "client_auth_required": True, "client_cert": "c"}
    (tmp_path / "connection.json").write_text(json.dumps(connection))
    finished = builder("build", tmp_path, tmp_path, tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr == "connection.json lacks root_cert, client_key\n"
