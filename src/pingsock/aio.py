"""The library for programs with an event loop, asyncio's or trio's.

    ping         one host
    watch        one host without end: an asynchronous iterator of records
    ping_many    any number of hosts: an asynchronous iterator of records, with a Summary each
    resolve      the addresses of a host, as targets
    Pinger       one for a whole program: targets come and go

They are those of `pingsock`, with the same arguments, records and exceptions.
"""

from __future__ import annotations

from pingsock.tools.aio import RecordStream, ping, ping_many, resolve, watch
from pingsock.tools.aio_pinger import Pinger

__all__ = ["Pinger", "RecordStream", "ping", "ping_many", "resolve", "watch"]
