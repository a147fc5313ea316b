"""What the fuzz targets share: a command line, a small mutation fuzzer, and the way to atheris."""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Target = Callable[[bytes], None]

MAXIMUM_LENGTH = 4096
INTERESTING = (0x00, 0x01, 0x03, 0x04, 0x05, 0x0F, 0x14, 0x20, 0x3A, 0x3F, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xFE, 0xFF)


def fuzz(target: Target, seeds: Sequence[bytes]) -> None:
    """Run `target` on mutations of `seeds` until the time or count of the command line is over.

    A target raises for a bug and returns otherwise. The first bug ends the run with status 1 and its input in hex.
    """
    arguments = _arguments()
    if arguments.input is not None:
        target(bytes.fromhex(arguments.input))
    elif _atheris_wanted(arguments):
        _run_atheris(target, arguments)
    else:
        _run_mutations(target, seeds, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=float, default=10.0, help="run this long (default: %(default)s)")
    limit.add_argument("--count", type=int, help="run this many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: %(default)s)")
    parser.add_argument("--input", metavar="HEX", help="run this one input")
    parser.add_argument("--plain", action="store_true", help="do not use atheris even if it is installed")
    return parser.parse_args()


def _atheris_wanted(arguments: argparse.Namespace) -> bool:
    return not arguments.plain and importlib.util.find_spec("atheris") is not None


def _run_atheris(target: Target, arguments: argparse.Namespace) -> None:
    atheris = importlib.import_module("atheris")
    limit = f"-runs={arguments.count}" if arguments.count else f"-max_total_time={max(1, round(arguments.seconds))}"
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], limit, f"-seed={arguments.seed + 1}", f"-max_len={MAXIMUM_LENGTH}"], target)
    atheris.Fuzz()


def _run_mutations(target: Target, seeds: Sequence[bytes], arguments: argparse.Namespace) -> None:
    started, count = time.monotonic(), 0
    for example in mutations(seeds, random.Random(arguments.seed)):
        try:
            target(example)
        except Exception:  # noqa: BLE001 - finding these is the point
            traceback.print_exc()
            sys.exit(f"input {count} of seed {arguments.seed}: --input {example.hex()}")
        count += 1
        over = count >= arguments.count if arguments.count else time.monotonic() - started >= arguments.seconds
        if over:
            break
    print(f"{count} inputs in {time.monotonic() - started:.1f} s, nothing found")


def mutations(seeds: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """The seeds, then endless mutations of them."""
    yield from seeds
    while True:
        example = bytearray(rng.choice(seeds))
        for _ in range(1 << rng.randrange(4)):
            rng.choice(MUTATORS)(example, seeds, rng)
        yield bytes(example[:MAXIMUM_LENGTH])


def _flip_bit(example: bytearray, _seeds: Sequence[bytes], rng: random.Random) -> None:
    if example:
        example[rng.randrange(len(example))] ^= 1 << rng.randrange(8)


def _set_byte(example: bytearray, _seeds: Sequence[bytes], rng: random.Random) -> None:
    if example:
        example[rng.randrange(len(example))] = rng.choice(INTERESTING)


def _cut(example: bytearray, _seeds: Sequence[bytes], rng: random.Random) -> None:
    del example[rng.randrange(len(example) + 1) :]


def _delete(example: bytearray, _seeds: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(example) + 1)
    del example[start : start + rng.randrange(1, 9)]


def _insert(example: bytearray, _seeds: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(example) + 1)
    example[start:start] = rng.randbytes(rng.randrange(1, 9))


def _splice(example: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(seeds)
    example[rng.randrange(len(example) + 1) :] = other[rng.randrange(len(other) + 1) :]


MUTATORS = (_flip_bit, _flip_bit, _set_byte, _set_byte, _cut, _delete, _insert, _splice)
