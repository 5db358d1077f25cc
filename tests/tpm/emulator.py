"""TPMs of software, each a process of its own with a state of its own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.endorsement import Authority

START_SECONDS = 10.0


@dataclass
class Emulator:
    """A running swtpm. `maker` certified its endorsement keys."""

    folder: Path
    port: int
    maker: Authority
    process: subprocess.Popen[bytes] | None = None

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def start(self) -> None:
        # The stack takes the port after the first one for the control channel.
        command = [
            "swtpm",
            "socket",
            "--tpm2",
            f"--tpmstate=dir={self.folder}",
            f"--server=type=tcp,port={self.port},bindaddr=127.0.0.1",
            f"--ctrl=type=tcp,port={self.port + 1},bindaddr=127.0.0.1",
            "--flags=not-need-init,startup-clear",
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not connects(self.port + 1):
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def end(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(10)

    def opened(self) -> Any:
        """A session of the stack, for what the box itself never does."""
        from tpm2_pytss import ESAPI

        return ESAPI(self.tcti)


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports() -> int:
    """The first of two ports in a row."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


@contextmanager
def running_tpm(folder: Path, maker: Authority, *kinds: str) -> Iterator[Emulator]:
    """A TPM in which `maker` left certificates of its endorsement keys: "EK-ECC256", "EK-RSA2048"."""
    if shutil.which("swtpm") is None:
        pytest.skip("there is no swtpm on PATH")
    pytest.importorskip("tpm2_pytss", reason="tpm2-pytss is not installed: requirements/tpm.txt")
    folder.mkdir()
    emulator = Emulator(folder, free_ports(), maker)
    emulator.start()
    try:
        for kind in kinds:
            store_certificate(emulator, kind, maker.certify(endorsement_key(emulator, kind)))
        yield emulator
    finally:
        emulator.end()


def endorsement_key(emulator: Emulator, kind: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from tpm2_pytss import ESYS_TR, TPM2B_SENSITIVE_CREATE
    from tpm2_pytss.utils import NVReadEK, create_ek_template

    with emulator.opened() as tpm:
        _, template = create_ek_template(kind, NVReadEK(tpm))
        handle, public, *_ = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.RH_ENDORSEMENT)
        with handle:
            key = load_pem_public_key(public.to_pem())
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return key


def store_certificate(emulator: Emulator, kind: str, certificate: bytes, padding: int = 100) -> None:
    """As makers do: in the TPM's own memory, in more room than it needs."""
    from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2B_AUTH, TPM2B_MAX_NV_BUFFER, TPM2B_NV_PUBLIC, TPMA_NV, TPMS_NV_PUBLIC

    content = certificate + b"\xff" * padding
    readable = TPMA_NV.OWNERWRITE | TPMA_NV.OWNERREAD | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA
    public = TPMS_NV_PUBLIC(
        nvIndex={"EK-ECC256": 0x01C0000A, "EK-RSA2048": 0x01C00002}[kind],
        nameAlg=TPM2_ALG.SHA256,
        attributes=readable,
        dataSize=len(content),
    )
    with emulator.opened() as tpm:
        index = tpm.nv_define_space(TPM2B_AUTH(), TPM2B_NV_PUBLIC(nvPublic=public))
        for start in range(0, len(content), 512):
            part = TPM2B_MAX_NV_BUFFER(content[start : start + 512])
            tpm.nv_write(index, part, start, auth_handle=ESYS_TR.RH_OWNER)
