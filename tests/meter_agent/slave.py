"""A Modbus TCP server written by hand: registers and coils of any unit, and what was written to them."""

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Slave:
    """`broken` answers every request with exception 4; `stuck` coils stay as they are."""

    registers: dict[int, int] = field(default_factory=dict)
    coils: dict[int, bool] = field(default_factory=dict)
    written: list[tuple[int, list[int]]] = field(default_factory=list)
    switched: list[tuple[int, bool]] = field(default_factory=list)
    broken: bool = False
    stuck: bool = False
    port: int = 0

    def answer(self, request: bytes) -> bytes:
        function = request[0]
        if self.broken:
            return bytes([function | 0x80, 4])
        if function == 3:
            address, count = struct.unpack(">HH", request[1:5])
            values = [self.registers.get(address + i, 0) for i in range(count)]
            return struct.pack(">BB", 3, 2 * count) + struct.pack(f">{count}H", *values)
        if function == 16:
            address, count, _ = struct.unpack(">HHB", request[1:6])
            values = list(struct.unpack(f">{count}H", request[6:]))
            self.registers.update({address + i: value for i, value in enumerate(values)})
            self.written.append((address, values))
            return struct.pack(">BHH", 16, address, count)
        if function == 1:
            address, _ = struct.unpack(">HH", request[1:5])
            return bytes([1, 1, int(self.coils.get(address, False))])
        if function == 5:
            address, value = struct.unpack(">HH", request[1:5])
            if not self.stuck:
                self.coils[address] = value == 0xFF00
            self.switched.append((address, value == 0xFF00))
            return request[:5]
        return bytes([function | 0x80, 1])


class Handler(socketserver.StreamRequestHandler):
    slave: Slave

    def handle(self) -> None:
        while len(head := self.rfile.read(7)) == 7:
            transaction, _, length, unit = struct.unpack(">HHHB", head)
            answer = self.slave.answer(self.rfile.read(length - 1))
            self.wfile.write(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def running_slave() -> Iterator[Slave]:
    slave = Slave()
    with Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"slave": slave})) as server:
        slave.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield slave
        finally:
            server.shutdown()
            thread.join()
