"""Hostile packets through one stack: it goes on working, and its memory stays flat.

    python3 benchmarks/hostile.py [--packets 10000000] [--seed N]

Damaged replies and errors of both families, half of them with their checksums put right again, go into a stack of eight
sockets, two of which never read. Printed every tenth of the way: packets, packets a second of CPU, resident memory.
In the end each socket that reads must still get a good reply. Status 1 if it does not.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from harness import mutations
from hostile_packets import make_stack, read_some, repaired, reply, seeds

from pingsock.wire.linux import MSG_DONTWAIT

POOL = 200_000
"""Different packets; they are made once, since making them costs more than delivering them."""
READ_EVERY = 64
IGNORED = 3
"""Place of the socket, in either family, that never reads."""


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def make_pool(seed: int) -> list[bytes]:
    """Damaged packets, every second one with a right checksum."""
    pool = list(islice(mutations(seeds(), random.Random(seed)), POOL))
    return [repaired(packet) if place % 2 else packet for place, packet in enumerate(pool)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    pool = make_pool(options.seed)
    stack, endpoints = make_stack()
    readers = [endpoint for place, endpoint in enumerate(endpoints) if place % 4 != IGNORED]
    print(f"{'packets':>12}{'a second of CPU':>18}{'resident MiB':>14}")
    done, tenth = 0, max(1, options.packets // 10)
    while done < options.packets:
        begin = time.process_time()
        for number in range(done, min(done + tenth, options.packets)):
            stack.deliver_untrusted(pool[number % POOL], 2, 1)
            if number % READ_EVERY == 0:
                for endpoint in readers:
                    read_some(endpoint)
        done += tenth
        print(f"{done:>12,}{tenth / (time.process_time() - begin):>18,.0f}{resident_mib():>14.1f}", flush=True)
    for endpoint in readers:
        while endpoint.queue or endpoint.error_queue:
            read_some(endpoint)
        endpoint.take_pending_error()
        stack.deliver_untrusted(reply(endpoint.ident, family=endpoint.family), 2, 1)
        data = endpoint.recvmsg(2048, 512, MSG_DONTWAIT, 1)[0]
        if len(data) != 64:
            sys.exit(f"the socket with ident {endpoint.ident} got {len(data)} bytes of a good reply of 64")
    print(f"all {len(readers)} reading sockets still get their replies")


if __name__ == "__main__":
    main()
