"""`pingsock ping` and `pingsock sweep` of an ordinary user whose service ends, refuses or has no socket left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bed.child import can_change_user
from bed.namespace import NoNamespace, entered
from bed.running import running_service
from cli.ping_network import NOBODY, SYSTEM_PYTHON, PingNetwork, Result, ping_network, result_of, wait_for_line

if TYPE_CHECKING:
    from bed.running import RunningService

LET_IN = f"[access]\nusers = [{NOBODY}]\n[permit]\nhand_over = false\n"
NOT_LET_IN = "[access]\nusers = [1]\n"
ENDED = "ping: the service of this ping socket has ended\n"


@pytest.fixture(scope="module")
def network() -> Iterator[PingNetwork]:
    if not can_change_user():
        pytest.skip("needs root to be somebody else")
    try:
        with ping_network("pingsvc") as network, entered():
            yield network
    except NoNamespace as error:
        pytest.skip(str(error))


class User:
    """Starts our commands as an ordinary user of a service."""

    def __init__(self, network: PingNetwork, service: RunningService) -> None:
        self._environment = {"PYTHONPATH": str(network.programs / "ours"), "PINGSOCK_SOCKET": service.path}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        who = {"user": int(NOBODY), "group": int(NOBODY), "extra_groups": []}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [SYSTEM_PYTHON, "-m", "pingsock", *words]
        return subprocess.Popen(command, env=self._environment, **streams, **who)  # type: ignore[call-overload, no-any-return]

    def run(self, *words: str) -> Result:
        return result_of(self.start(*words))


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("words", ["-i .2 127.0.0.1", "-i .2 ::1", "-c 500 -i .2 127.0.0.1"])
def test_a_service_that_ends_ends_the_ping_with_a_line_and_its_summary(
    network: PingNetwork, words: str, end: str
) -> None:
    with running_service(LET_IN) as service:
        ping = User(network, service).start("ping", *words.split())
        wait_for_line(ping, b"64 bytes")
        getattr(service, end)()
        result = result_of(ping)
    assert (result.err, result.status) == (ENDED, 2)
    assert "ping statistics ---\n" in result.out


def test_in_json_the_failure_is_an_object_before_the_summary(network: PingNetwork) -> None:
    with running_service(LET_IN) as service:
        ping = User(network, service).start("ping", "--json", "--until-down", "-i", ".2", "127.0.0.1")
        wait_for_line(ping, b'{"type": "reply"')
        service.kill()
        result = result_of(ping)
    failure, summary = list(map(json.loads, result.out.splitlines()))[-2:]
    assert (failure["type"], failure["errno_name"]) == ("socket_failure", "ECONNRESET")
    assert failure["reason"] == ENDED.removeprefix("ping: ").strip()
    assert (summary["type"], summary["exit_status"]) == ("summary", result.status) == ("summary", 2)


def test_a_user_who_is_not_let_in_reads_that_and_is_one_line_of_the_audit(network: PingNetwork) -> None:
    with running_service(NOT_LET_IN) as service:
        result = User(network, service).run("ping", "-c", "1", "127.0.0.1")
        assert service.log.count("refused socket") == 1
    assert result.status == 2
    assert f"a service is there, but lets neither user {NOBODY} nor one of its groups have sockets" in result.err
    assert f"pingsockd): [access] users = [{NOBODY}]\n" in result.err


def test_a_used_up_quota_is_told_as_such(network: PingNetwork) -> None:
    with running_service(LET_IN + "[quota]\nsockets = 1\n") as service:
        user = User(network, service)
        first = user.start("ping", "-i", ".2", "127.0.0.1")
        wait_for_line(first, b"64 bytes")
        result = user.run("ping", "-c", "1", "127.0.0.1")
        forced = user.run("ping", "--socket", "served", "-c", "1", "127.0.0.1")
        first.terminate()
        first.communicate()
        assert service.log.count("refused socket") == 2
    assert "this user has all the sockets that the service gives one user (quota.sockets)" in result.err
    assert "no ping socket of kind served can be had here: this user has all the sockets" in forced.err


def test_a_sweep_says_in_words_who_refused_and_asks_once(network: PingNetwork) -> None:
    with running_service(NOT_LET_IN) as service:
        result = User(network, service).run("sweep", "127.0.0.1")
        assert service.log.count("refused socket") == 1
    assert f"a service is there, but lets neither user {NOBODY}" in result.err


def test_a_sweep_whose_service_ends_says_so_in_words(network: PingNetwork) -> None:
    with running_service(LET_IN) as service:
        sweep = User(network, service).start("sweep", "--rate", "5", "--json", "127.0.0.0/24")
        wait_for_line(sweep, b"{")
        service.kill()
        result = result_of(sweep)
    assert (result.err, result.status) == ("pingsock sweep: the service of this ping socket has ended\n", 4)
