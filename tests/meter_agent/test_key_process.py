"""The process that holds the keys, and what it is asked over its socket."""

import asyncio
import json
import os
import pwd
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from evidence.keys import Algorithm, PublicKey, SoftwareKey
from evidence.readings import Reading
from meter_agent.__main__ import main
from meter_agent.channel.line import Line
from meter_agent.journal import Journal
from meter_agent.keys import KeyFileError, KeyRefused, KeyUnavailable, Place, await_key, open_key
from meter_agent.keys.messages import MOST_BYTES
from meter_agent.keys.process import KeyProcess as Answering
from meter_agent.keys.remote import RemoteKeys
from meter_agent.keys.ring import KeyRing
from meter_agent.keys.settings import FileKey, ProcessKey, ProcessSettings, read_process_settings
from meter_agent.keys.software import Software
from meter_agent.link import Allowance
from meter_agent.local_api import Problem, Request, sign_text
from meter_agent.tables import ConfigError
from meter_agent.uplink import Unavailable
from tests.conftest import SOAK
from tests.meter_agent.key_processes import IN_A_FILE, ROOT, KeyProcess, running_key_process
from tests.meter_agent.support import DEVICE, HOUSE, kept, make_config, make_uplink, running_head_end, store

DIGEST = b"\x05" * 32
KILLS = 100 if SOAK else 5


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyProcess]:
    """One process for the tests that exchange no key."""
    with running_key_process(tmp_path_factory.mktemp("keys")) as process:
        process.keys.make()
        yield process


def ask(process: KeyProcess, line: bytes) -> dict[str, Any] | None:
    """The answer to any bytes, None when it hangs up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(process.socket))
        try:
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return None
    return json.loads(answer) if answer else None


def test_the_agent_signs_with_a_key_that_it_never_sees(shared: KeyProcess) -> None:
    signer = open_key(ProcessKey(shared.socket))
    held = KeyRing(shared.folder / "key" / "device.pem", Software()).held()
    assert signer.public_key == held.keys[Place.CURRENT]
    assert signer.public_key.verifies(DIGEST, signer.sign(DIGEST))
    assert stat.S_IMODE(shared.socket.stat().st_mode) == 0o600


def test_many_ask_at_once(shared: KeyProcess) -> None:
    signer = open_key(ProcessKey(shared.socket))
    digests = [bytes([i]) * 32 for i in range(100)]
    with ThreadPoolExecutor(16) as pool:
        signatures = list(pool.map(signer.sign, digests))
    assert all(signer.public_key.verifies(*pair) for pair in zip(digests, signatures, strict=True))


def test_a_line_says_what_it_asks_for(shared: KeyProcess) -> None:
    key = shared.keys.make()
    question = {"verb": "sign", "key": key.id.hex(), "digest": DIGEST.hex()}
    answer = ask(shared, json.dumps(question).encode() + b"\n")
    assert answer is not None and answer.keys() == {"signature"}
    assert key.verifies(DIGEST, bytes.fromhex(answer["signature"]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "the question Expecting value"),
        (b"\xff\xfe\n", "the question 'utf-8' codec can't decode"),
        (b"[]\n", "the question is no object"),
        (b"{}\n", "the question verb: is missing"),
        (b'{"verb": "export"}\n', "the question verb: must be one of held, sign"),
        (b'{"verb": ["sign"]}\n', "the question verb: must be one of held, sign"),
        (b'{"verb": "sign"}\n', "the question key: is missing"),
        (b'{"verb": "sign", "key": "00", "digest": "00"}\n', "the question key: must be 64 hexadecimal digits"),
        (b'{"verb": "forget", "place": "everything"}\n', "the question place: 'everything' is not a valid Place"),
        (b'{"verb": "forget", "place": "current"}\n', "the current key is not forgotten"),
        (b'{"verb": "activate", "credential": "xy"}\n', "the question credential: non-hexadecimal"),
        (b"[" * 10_000 + b"\n", "the question "),
        (b'{"verb": ' + b"9" * 8_000 + b"}\n", "the question "),
    ],
)
def test_garbage_is_answered_with_what_is_wrong(shared: KeyProcess, line: bytes, message: str) -> None:
    answer = ask(shared, line)
    assert answer is not None
    assert answer["error"] == "refused"
    assert answer["message"].startswith(message)
    assert shared.keys.make().verifies(DIGEST, open_key(ProcessKey(shared.socket)).sign(DIGEST))


def test_only_digests_are_signed(shared: KeyProcess) -> None:
    key = shared.keys.make()
    for digest in (b"", bytes(31), bytes(33), bytes(5_000)):
        with pytest.raises(KeyRefused, match="digest: must be 64 hexadecimal digits"):
            shared.keys.sign(key.id, digest)


def test_no_answer_holds_a_private_key(shared: KeyProcess) -> None:
    secret = Software().load((shared.folder / "key" / "device.pem").read_bytes()).secret
    key = shared.keys.make().id.hex()
    for verb in ("held", "sign", "make", "promote", "attest", "activate", "export"):
        question = {"verb": verb, "key": key, "digest": DIGEST.hex(), "credential": "00", "place": "old"}
        answer = ask(shared, json.dumps(question).encode() + b"\n")
        assert answer is not None
        assert secret.hex() not in json.dumps(answer)


def test_clients_that_send_too_much_or_too_little_are_cut_off(shared: KeyProcess) -> None:
    assert ask(shared, b"x" * (3 * MOST_BYTES)) is None
    assert ask(shared, b'{"verb": "held"') is None
    assert ask(shared, b"") is None


def test_clients_that_hang_hold_up_nobody(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "key" / "device.pem", Software())
    key = ring.make()
    settings = ProcessSettings(tmp_path / "socket", FileKey(ring.path), frozenset({os.getuid()}))
    with ExitStack() as stack:
        stack.enter_context(answering(Answering(settings, ring, patience=0.5)))
        hanging = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(10)]
        for number, each in enumerate(hanging):
            each.connect(str(settings.socket))
            each.sendall(b'{"verb": "held"}\n' if number % 2 else b'{"verb"')
        assert key.verifies(DIGEST, RemoteKeys(settings.socket, patience=0.4).sign(key.id, DIGEST))
        hanging[0].settimeout(10)
        assert hanging[0].recv(1) == b"", "whoever says nothing is cut off"


def test_a_stranger_gets_no_signature(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "key" / "device.pem", Software())
    key = ring.make()
    everybody_else = frozenset({os.getuid() + 1, os.getuid() + 2})
    settings = ProcessSettings(tmp_path / "socket", FileKey(ring.path), everybody_else)
    with answering(Answering(settings, ring)):
        # Others than its own user may ask: all can connect, and the kernel says who they are.
        assert stat.S_IMODE(settings.socket.stat().st_mode) == 0o666
        with pytest.raises(KeyUnavailable, match="no key process answers"):
            RemoteKeys(settings.socket).sign(key.id, DIGEST)


@contextmanager
def answering(process: Answering) -> Iterator[None]:
    """`process` in a thread of this one, so that a test can say who may ask."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(process.run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    try:
        while not process.settings.socket.exists():
            assert thread.is_alive()
            time.sleep(0.01)
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def test_a_signature_of_another_key_is_not_taken(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "key" / "device.pem", Software())
    ring.make()
    settings = ProcessSettings(tmp_path / "socket", FileKey(ring.path), frozenset({os.getuid()}))
    with answering(Answering(settings, Confused(ring.path, Software()))):
        signer = open_key(ProcessKey(settings.socket))
        with pytest.raises(KeyUnavailable, match="does not fit the key"):
            signer.sign(DIGEST)


class Confused(KeyRing):
    def sign(self, key: bytes, digest: bytes) -> bytes:
        return SoftwareKey.generate().sign(digest)


def test_keys_are_exchanged_over_the_socket(tmp_path: Path) -> None:
    with running_key_process(tmp_path, IN_A_FILE + '\nalgorithm = "secp256k1"') as process:
        keys = process.keys
        with pytest.raises(KeyFileError, match="meter-agent key"):
            open_key(ProcessKey(process.socket))
        first = keys.make()
        assert first.algorithm == Algorithm.SECP256K1
        signer = open_key(ProcessKey(process.socket))
        second = keys.make_next()
        keys.promote(second.id)
        keys.promote(second.id)
        assert keys.held().keys == {Place.CURRENT: second, Place.OLD: first}
        # Whoever has the first one open goes on with it, as do reports about earlier days.
        assert first.verifies(DIGEST, signer.sign(DIGEST))
        assert open_key(ProcessKey(process.socket), Place.OLD).public_key == first
        third = keys.make_next()
        with pytest.raises(KeyRefused, match="the old key is still there"):
            keys.promote(third.id)
        keys.forget(Place.OLD)
        with pytest.raises(KeyRefused, match="there is no key"):
            signer.sign(DIGEST)
        with pytest.raises(KeyRefused, match="cannot show where it was made"):
            keys.attest(second.id)


def test_a_process_that_starts_again_is_not_noticed(tmp_path: Path) -> None:
    with running_key_process(tmp_path) as process:
        key = process.keys.make()
        signer = open_key(ProcessKey(process.socket))
        assert process.end() == 0
        assert not process.socket.exists()
        begun = time.monotonic()
        with pytest.raises(KeyUnavailable, match="no key process answers"):
            signer.sign(DIGEST)
        assert time.monotonic() - begun < 15
        process.start()
        assert key.verifies(DIGEST, signer.sign(DIGEST))
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
        assert process.socket.exists()
        process.start()
        assert key.verifies(DIGEST, signer.sign(DIGEST))


def test_an_agent_that_starts_first_waits_for_its_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_key_process(tmp_path) as process:
        process.keys.make()
        process.end()
        signer = await_key(ProcessKey(process.socket))
        assert "what is read waits to be signed: no key process answers" in caplog.text
        with pytest.raises(KeyUnavailable):
            signer.sign(DIGEST)
        process.start()
        key = signer.public_key
        assert key.verifies(DIGEST, signer.sign(DIGEST))
        process.keys.promote(process.keys.make_next().id)
        assert signer.public_key == key
        assert key.verifies(DIGEST, signer.sign(DIGEST))
    with pytest.raises(KeyFileError, match="meter-agent key"):
        await_key(FileKey(tmp_path / "nothing.pem"))


def test_only_one_process_answers_at_a_socket(tmp_path: Path) -> None:
    with running_key_process(tmp_path) as process:
        key = process.keys.make()
        second = subprocess.run(
            [sys.executable, "-m", "meter_agent.keys", "--config", tmp_path / "keys.toml"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert second.returncode == 2
        assert "another key process answers there" in second.stderr
        assert key.verifies(DIGEST, process.keys.sign(key.id, DIGEST))


def test_a_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "socket"))
        silent.listen()
        with pytest.raises(KeyUnavailable, match="does not answer"):
            RemoteKeys(tmp_path / "socket", patience=0.2).held()


def test_a_damaged_key_is_told_and_the_others_sign(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir(mode=0o700)
    ring = KeyRing(tmp_path / "key" / "device.pem", Software())
    key = ring.make()
    ring.make_next()
    ring.file(Place.NEXT).write_bytes(b"")
    with running_key_process(tmp_path) as process:
        assert "the next key cannot be used: key/device.pem.next does not hold" in process.log
        assert process.keys.held().keys == {Place.CURRENT: key}
        assert key.verifies(DIGEST, process.keys.sign(key.id, DIGEST))
        with pytest.raises(KeyFileError, match=r"device\.pem\.next does not hold"):
            process.keys.make_next()


def test_a_process_killed_at_any_moment_of_exchanges_keeps_a_key(tmp_path: Path) -> None:
    moments = random.Random(5)
    with running_key_process(tmp_path) as process:
        known = {process.keys.make()}
        for _ in range(KILLS):
            assert process.process is not None
            timer = threading.Timer(moments.uniform(0, 0.1), process.process.kill)
            timer.start()
            exchange_until_killed(process.keys, known)
            timer.join()
            assert process.process.wait(10) == -signal.SIGKILL
            process.start()
            held = process.keys.held()
            assert held.faults == {}
            # No key came out of nothing, and each that is there signs.
            assert set(held.keys.values()) - known <= {held.keys.get(Place.NEXT)}
            for key in held.keys.values():
                assert key.verifies(DIGEST, process.keys.sign(key.id, DIGEST))


def exchange_until_killed(keys: RemoteKeys, known: set[PublicKey]) -> None:
    """`known` takes every key as soon as it is told, before it may be promoted."""
    try:
        while True:
            keys.forget(Place.OLD)
            following = keys.make_next()
            known.add(following)
            keys.promote(following.id)
    except KeyUnavailable:
        pass


def test_readings_wait_while_there_is_nobody_to_sign_them(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with running_key_process(tmp_path) as process, running_head_end(process.keys.make()) as head_end:
        signer = open_key(ProcessKey(process.socket))
        store(journal, [Reading(HOUSE, 1, 0, 5)])

        async def drain() -> bool:
            async with httpx.AsyncClient() as client:
                config = make_config(tmp_path, head_end.address)
                return await make_uplink(config, journal, client, 0.01, signer).drain(2)

        process.end()
        assert not asyncio.run(drain())
        assert caplog.text.count("no key process answers") == 1
        assert kept(journal) == [Reading(HOUSE, 1, 0, 5)]
        assert head_end.received == []
        process.start()
        assert asyncio.run(drain())
        assert head_end.readings == [Reading(HOUSE, 1, 0, 5)]


def test_the_channel_and_the_local_api_say_that_nobody_signs(tmp_path: Path, journal: Journal) -> None:
    key = await_key(ProcessKey(tmp_path / "socket"))

    async def poll() -> None:
        async with httpx.AsyncClient() as client:
            await Line("http://127.0.0.1:9", DEVICE, key, client, Allowance(journal, None)).poll(0, 1)

    with pytest.raises(Unavailable, match="no key process answers"):
        asyncio.run(poll())
    with pytest.raises(Problem, match="no key process answers") as caught:
        sign_text(key, Request("POST", "/sign", {}, b'{"text": "x"}'))
    assert caught.value.status == 503


def test_the_commands_exchange_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_key_process(tmp_path) as process:
        settings = tmp_path / "agent.toml"
        settings.write_text(f'[key]\nkind = "process"\nsocket = "{process.socket}"\n')

        def key(*options: str) -> dict[str, str]:
            assert main(["key", "--config", str(settings), *options]) == 0
            printed: dict[str, str] = json.loads(capsys.readouterr().out)
            return printed

        first = key()
        assert first["algorithm"] == "P-256"
        assert main(["key", "--config", str(settings), "--promote"]) == 2
        assert "there is no next key" in capsys.readouterr().err
        second = key("--next")
        assert key() == first != second
        assert key("--promote") == key() == second
        assert key("--forget", "old") == second
        assert process.keys.held().keys.keys() == {Place.CURRENT}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('socket = "s"', "key_file: either it or"),
        ('socket = "s"\nkey_file = "k"\n[key]\nkind = "file"', "key_file: either it or"),
        ('[key]\nkind = "file"\nfile = "k"', "socket: is missing"),
        ('socket = "s"\n[key]\nkind = "process"\nsocket = "s"', "key.kind: must be file or tpm"),
        ('socket = "s"\n[key]\nkind = "card"', "key.kind: must be one of file, tpm, process"),
        ('socket = "s"\n[key]\nkind = "file"', "key.file: is missing"),
        ('socket = "s"\n[key]\nkind = "file"\nfile = "k"\ntcti = "x"', "key.tcti: is not a setting"),
        ('socket = "s"\n[key]\nkind = "file"\nfile = "k"\nalgorithm = "RSA"', "key.algorithm: must be one of P-256"),
        ('socket = "s"\nusers = "root"\nkey_file = "k"', "users: must be a list of names"),
        ('socket = "s"\nusers = ["no such user"]\nkey_file = "k"', "users: must be users of this machine: .*no such"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys.toml").write_text(text)
    with pytest.raises(ConfigError, match=f"^{message}"):
        read_process_settings(tmp_path / "keys.toml")


def test_settings_name_who_may_ask(tmp_path: Path) -> None:
    name = pwd.getpwuid(0).pw_name
    (tmp_path / "keys.toml").write_text(f'socket = "socket"\nusers = ["{name}"]\nkey_file = "device.pem"')
    assert read_process_settings(tmp_path / "keys.toml") == ProcessSettings(
        tmp_path / "socket", FileKey(tmp_path / "device.pem"), frozenset({0, os.getuid()})
    )


def test_the_agent_s_command_is_the_same_process(tmp_path: Path) -> None:
    with running_key_process(tmp_path, command=("meter_agent", "keys")) as process:
        key = process.keys.make()
        assert key.verifies(DIGEST, process.keys.sign(key.id, DIGEST))
        assert process.end() == 0
        assert "stopped" in process.log


# As another user, with what was loaded before as root: others cannot enter our folders.
AS_SOMEBODY = """
import concurrent.futures.thread, os, sys
from pathlib import Path
from meter_agent.keys import KeyUnavailable, open_key
from meter_agent.keys.__main__ import hold_keys
from meter_agent.keys.settings import ProcessKey

os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
path = Path(sys.argv[2])
if path.suffix == ".toml":
    hold_keys(path)
try:
    print(open_key(ProcessKey(path)).sign(bytes(32)).hex())
except KeyUnavailable as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes of other users")
@pytest.mark.parametrize("is_named", [True, False])
def test_only_users_who_are_named_get_signatures(short_folder: Path, is_named: bool) -> None:
    holder, agent, stranger = (pwd.getpwnam(name).pw_uid for name in ("nobody", "daemon", "bin"))
    ring = KeyRing(short_folder / "key" / "device.pem", Software())
    key = ring.make()
    for path in (short_folder, ring.path.parent, ring.path):
        os.chown(path, holder, holder)
    users = 'users = ["daemon"]\n' if is_named else ""
    (short_folder / "keys.toml").write_text(f'socket = "socket"\n{users}key_file = "key/device.pem"\n')

    def command(user: int, path: Path) -> list[str]:
        return [sys.executable, "-c", AS_SOMEBODY, str(user), str(path)]

    def answer(user: int) -> str:
        asking = command(user, short_folder / "socket")
        return subprocess.run(asking, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    with subprocess.Popen(command(holder, short_folder / "keys.toml"), cwd=ROOT) as process:
        try:
            while not (short_folder / "socket").exists():
                assert process.poll() is None
                time.sleep(0.02)
            assert key.verifies(bytes(32), bytes.fromhex(answer(holder)))
            if is_named:
                assert key.verifies(bytes(32), bytes.fromhex(answer(agent)))
                assert "no key process answers" in answer(stranger)
                # Root may do all with the file, and nothing over the socket.
                assert "no key process answers" in answer(0)
            else:
                assert "lets nobody of this user in" in answer(agent)
        finally:
            process.terminate()
