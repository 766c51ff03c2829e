"""Waits until the process is asked to stop."""

import asyncio
import signal
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def asked_to_stop() -> signal.Signals:
    """Return the signal by which the process was asked to stop; the next one ends it at once."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[signal.Signals] = loop.create_future()

    def ask(number: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, ask, number)
    try:
        return await asked
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
