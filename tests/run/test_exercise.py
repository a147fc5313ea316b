"""A program that does with ping sockets whatever can be done hears the same from us as from the kernel."""

from __future__ import annotations

import pytest

from run.programs import RunNetwork

CASES = [
    "creation",
    "names",
    "messages",
    "control_of_sends",
    "errors",
    "readiness",
    "nonblocking",
    "timeouts",
    "signals",
    "jumps",
    "given_up",
    "stacks",
    "storm",
    "squalls",
    "threads",
    "crowd",
    "processes",
    "duplicates",
    "batches",
    "ends",
    "vectors",
    "requests",
    "bad_memory",
    "filters",
    "asynchronous",
    "other_files",
    "many",
    "version6",
]


WAYS = ["served", "confined", "thrown away", "embedded", "borrowed"]
UNFIT = {
    # Nobody else may have the ident of a socket that the service lends, which this one sees.
    ("borrowed", "creation"),
    # They have signals enough; and an answer that meets two cannot be told from one that was heard.
    ("thrown away", "storm"),
    ("thrown away", "squalls"),
    ("thrown away", "crowd"),
}
PAIRS = [(way, case) for way in WAYS for case in CASES if (way, case) not in UNFIT]


@pytest.mark.parametrize(("way", "case"), PAIRS)
def test_every_call_returns_the_same(network: RunNetwork, exercise: str, way: str, case: str) -> None:
    of_kernel = network.on_kernel([exercise, case])
    ours = network.supervised([exercise, case], way)

    assert of_kernel.status == 0
    assert ours == of_kernel


def test_a_lent_socket_differs_in_that_its_ident_is_its_own(network: RunNetwork, exercise: str) -> None:
    of_kernel = network.on_kernel([exercise, "creation"])
    ours = network.supervised([exercise, "creation"], "borrowed")

    assert ours.out == of_kernel.out.replace("reuse 1", "reuse 0")


def test_without_its_supervisor_no_call_waits_and_all_fail(network: RunNetwork, exercise: str) -> None:
    ours = network.supervised([exercise, "abandoned"])

    assert ours.status == -9
    assert ours.out == ("  poll, blocked: 1\n  recv: ENOSYS\n  send: ENOSYS\n  socket: ENOSYS\n  went on\n")
