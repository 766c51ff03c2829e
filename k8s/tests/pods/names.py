"""A small DNS server on loopback: one name, whose addresses a test changes as a headless service does."""

import asyncio
import socket
import struct
from typing import Self

_A = 1
_ANSWERS = 0x8580  # a response, authoritative, recursion desired and available, no error


class Names(asyncio.DatagramProtocol):
    """Answers every question for an address with those it was given."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.close()
        await self._closed.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    @property
    def port(self) -> int:
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        end = data.index(b"\0", 12) + 5  # the name, its end, its type, its class
        kind = struct.unpack("!H", data[end - 4 : end - 2])[0]
        records = [self._record(address) for address in self.addresses] if kind == _A else []
        header = data[:2] + struct.pack("!HHHHH", _ANSWERS, 1, len(records), 0, 0)
        assert self._transport is not None
        self._transport.sendto(header + data[12:end] + b"".join(records), addr)

    @staticmethod
    def _record(address: str) -> bytes:
        name_of_the_question = b"\xc0\x0c"
        return name_of_the_question + struct.pack("!HHIH", _A, 1, 1, 4) + socket.inet_aton(address)
