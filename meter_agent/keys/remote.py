"""The keys of a box that another process holds."""

import socket
import time
from pathlib import Path
from typing import Any

from evidence.keys import PublicKey
from meter_agent.keys.base import Attestation, Held, Place
from meter_agent.keys.errors import KeyUnavailable
from meter_agent.keys.messages import MOST_BYTES, decode, decode_key, encode, raise_error

# What a process may take to start again, and to answer: the agent waits and reads no meters meanwhile.
RESTART_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
# Some TPMs take long to derive the key that they were certified with.
ATTESTING_SECONDS = 120.0


class RemoteKeys:
    """See `Keys`. Each question has a connection of its own: a process that was started again is not noticed."""

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        self.path = path
        self.patience = patience

    def held(self) -> Held:
        answer = self._ask("held")
        return Held(
            {Place(place): decode_key(key) for place, key in answer["keys"].items()},
            {Place(place): str(fault) for place, fault in answer["faults"].items()},
        )

    def sign(self, key: bytes, digest: bytes) -> bytes:
        return bytes.fromhex(self._ask("sign", key=key.hex(), digest=digest.hex())["signature"])

    def make(self) -> PublicKey:
        return decode_key(self._ask("make")["key"])

    def make_next(self) -> PublicKey:
        return decode_key(self._ask("make_next")["key"])

    def promote(self, key: bytes) -> None:
        self._ask("promote", key=key.hex())

    def forget(self, place: Place) -> None:
        self._ask("forget", place=place)

    def attest(self, key: bytes) -> Attestation:
        answer = self._ask("attest", ATTESTING_SECONDS, key=key.hex())
        return Attestation(
            bytes.fromhex(answer["ek_certificate"]),
            bytes.fromhex(answer["ek_public"]),
            bytes.fromhex(answer["key_public"]),
        )

    def activate(self, key: bytes, credential: bytes) -> bytes:
        answer = self._ask("activate", ATTESTING_SECONDS, key=key.hex(), credential=credential.hex())
        return bytes.fromhex(answer["secret"])

    def _ask(self, verb: str, patience: float | None = None, **fields: str) -> dict[str, Any]:
        """The answer to one question, asked again while the process starts. Raises `KeyFault`."""
        question = encode({"verb": verb, **fields})
        give_up = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                line = self._exchange(question, patience or self.patience)
                break
            except TimeoutError:
                raise KeyUnavailable(f"the key process at {self.path} does not answer") from None
            except PermissionError:
                raise KeyUnavailable(f"the key process at {self.path} lets nobody of this user in") from None
            except OSError as error:
                if time.monotonic() > give_up:
                    raise KeyUnavailable(f"no key process answers at {self.path}: {error}") from None
            time.sleep(0.05)
        try:
            answer = decode(line)
        except ValueError as error:
            raise KeyUnavailable(f"the answer of the key process {error}") from None
        raise_error(answer)
        return answer

    def _exchange(self, question: bytes, patience: float) -> bytes:
        """Raises OSError, TimeoutError among them."""
        deadline = time.monotonic() + patience
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(patience)
            connection.connect(str(self.path))
            connection.sendall(question)
            line = b""
            while not line.endswith(b"\n"):
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                part = connection.recv(MOST_BYTES)
                if not part or len(line) > MOST_BYTES:
                    raise ConnectionError("it hung up")
                line += part
        return line
