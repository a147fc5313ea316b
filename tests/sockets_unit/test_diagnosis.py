"""What is said about refusals, in surroundings that exist (namespaces, credentials, filters) and in made-up ones."""

from __future__ import annotations

import errno
import json
import os
import platform
import resource
import socket
from contextlib import suppress

import pytest

from bed.child import Credentials, can_change_user, in_child
from pingsock.sockets.cures import HOST, open_range, writer_gid
from pingsock.sockets.diagnosis import Diagnosis, KindDiagnosis, diagnose, explain
from pingsock.sockets.surroundings import GROUP_RANGE, Surroundings
from sockets_unit.private import (
    CLONE_NEWUSER,
    EVERYBODY,
    SYSTEM_CALL_SOCKET,
    in_private_network,
    in_user_namespace,
    refuse_sockets,
    unshare,
)

V4, V6 = socket.AF_INET, socket.AF_INET6
KEEP_ID = ((0, 100000, 1000), (1000, 1000, 1), (1001, 101000, 64535))
"""What `podman --userns=keep-id` maps for group 1000."""
ROOTLESS = ((0, 1000, 1),)
"""What `unshare --map-root-user` maps for it."""
RAW = 1 << 13
OVERFLOW = 65534

needs_root = pytest.mark.skipif(not can_change_user(), reason="becoming another user needs root")


def somebody(**facts: object) -> Surroundings:
    return Surroundings(uid=1000, gid=1000, group_range=(1, 0), bounding=RAW).replace(**facts)


def reason(name: str, number: int, around: Surroundings, family: int = V4) -> str:
    return explain(name, family, number, around)[0]


def lines(name: str, number: int, around: Surroundings, family: int = V4) -> list[str]:
    return [cure.line for cure in explain(name, family, number, around)[1]]


def states(diagnosis: Diagnosis) -> list[bool]:
    """Of kernel IPv4, kernel IPv6, embedded IPv4, embedded IPv6."""
    return [kind.usable for kind in own_kinds(diagnosis)]


def own_kinds(diagnosis: Diagnosis) -> list[KindDiagnosis]:
    """Those that need no service."""
    return [kind for kind in diagnosis.kinds if kind.name in ("kernel", "embedded")]


class TestClosedRange:
    def test_says_the_setting_its_value_and_the_group(self) -> None:
        said = reason("kernel", errno.EACCES, somebody(groups=(27, 100)))
        assert f'{GROUP_RANGE} (for IPv6 too) is "1 0"' in said
        assert "nobody, not even root" in said
        assert "(group 1000, others 27, 100)" in said

    def test_first_cure_admits_the_callers_group_and_nobody_else(self) -> None:
        assert lines("kernel", errno.EACCES, somebody())[0] == f'sysctl -w {GROUP_RANGE}="1000 1000"'

    def test_cures_last_over_a_boot_and_reach_into_containers(self) -> None:
        cures = {cure.place: cure.line for cure in open_range(somebody())}
        assert cures[HOST].startswith(f'echo "{GROUP_RANGE} = 1000 1000" > /etc/sysctl.d/')
        assert cures["docker"] == f'docker run --sysctl {GROUP_RANGE}="1000 1000" ...'
        assert cures["podman"] == f'podman run --sysctl {GROUP_RANGE}="1000 1000" ...'
        assert cures["kubernetes"].splitlines()[1:] == [
            "  sysctls:",
            f"  - name: {GROUP_RANGE}",
            '    value: "1000 1000"',
        ]

    @pytest.mark.parametrize("runtime", ["docker", "podman", "kubernetes"])
    def test_the_cure_of_the_runtime_around_comes_first(self, runtime: str) -> None:
        assert open_range(somebody(runtime=runtime))[0].place == runtime


def test_range_of_other_groups_is_named() -> None:
    said = reason("kernel", errno.EACCES, somebody(group_range=(5, 10)))
    assert 'is "5 10", which admits none of the groups of this process (group 1000)' in said


def test_range_that_only_seems_to_admit_is_explained_by_the_ids_outside() -> None:
    around = somebody(group_range=(0, 65535), gid_map=KEEP_ID)
    assert around.range_seems_to_admit()
    assert not around.range_admits()
    assert "100000 to 165534 with 1000" in reason("kernel", errno.EACCES, around)
    assert lines("kernel", errno.EACCES, around)[0] == f'sysctl -w {GROUP_RANGE}="1000 1000"'


def test_range_without_numbers_here_is_most_likely_closed() -> None:
    around = somebody(gid=0, group_range=(OVERFLOW, OVERFLOW), gid_map=ROOTLESS)
    assert "most likely closed" in reason("kernel", errno.EACCES, around)


def test_group_without_a_number_here_has_no_range_that_helps() -> None:
    around = somebody(gid=OVERFLOW, group_range=(0, 999), gid_map=((0, 100000, 1000),))
    assert "not mapped in this user namespace" in reason("kernel", errno.EACCES, around)
    assert lines("kernel", errno.EACCES, around) == []


def test_who_does_not_own_the_network_is_cured_by_the_number_outside() -> None:
    around = somebody(gid=0, group_range=(OVERFLOW, OVERFLOW), gid_map=ROOTLESS, network_owned=False)
    assert writer_gid(around) == 1000
    assert "1000 where the network namespace belongs" in reason("kernel", errno.EACCES, around)


@pytest.mark.parametrize(
    ("facts", "suspect"),
    [
        ({"seccomp_filter": True}, "Seccomp: 2"),
        ({"confinement": "docker-default (enforce)"}, 'label "docker-default (enforce)"'),
        ({"gvisor": True}, "gVisor"),
        ({}, "a security module or a cgroup's eBPF program"),
    ],
)
@pytest.mark.parametrize(
    ("name", "number", "allowed"),
    [
        ("kernel", errno.EACCES, {"group_range": (0, 2000)}),
        ("kernel", errno.EPERM, {}),
        ("kernel", errno.ENOSYS, {}),
        ("embedded", errno.EPERM, {"capabilities": RAW}),
        ("embedded", errno.EACCES, {}),
    ],
)
def test_a_refusal_linux_itself_would_not_make_names_the_suspect(
    name: str, number: int, allowed: dict[str, object], facts: dict[str, object], suspect: str
) -> None:
    assert suspect in reason(name, number, somebody(**allowed, **facts))


def test_range_that_cannot_be_read_is_said() -> None:
    assert f"{GROUP_RANGE} cannot be read" in reason("kernel", errno.EACCES, somebody(group_range=None))


class TestMissingCapability:
    def test_names_the_capability(self) -> None:
        assert "CAP_NET_RAW" in reason("embedded", errno.EPERM, somebody())

    def test_cures_give_it_for_a_command_a_service_and_a_container(self) -> None:
        cures = lines("embedded", errno.EPERM, somebody())
        assert "AmbientCapabilities=CAP_NET_RAW" in cures
        assert any(line.startswith("setpriv --reuid=1000 --regid=1000 ") for line in cures)
        assert any(line.startswith("setcap cap_net_raw+ep /") for line in cures)
        assert any(line.startswith("docker run --cap-add NET_RAW") for line in cures)

    def test_outside_the_bounding_set_nothing_on_the_host_helps(self) -> None:
        around = somebody(bounding=0)
        assert "bounding set" in reason("embedded", errno.EPERM, around)
        assert not any(line.startswith(("setcap", "setpriv")) for line in lines("embedded", errno.EPERM, around))

    def test_file_capabilities_do_nothing_with_no_new_privileges(self) -> None:
        around = somebody(no_new_privileges=True)
        assert "no_new_privs" in reason("embedded", errno.EPERM, around)
        assert not any(line.startswith("setcap") for line in lines("embedded", errno.EPERM, around))

    def test_it_counts_only_where_the_network_belongs(self) -> None:
        around = somebody(capabilities=RAW, network_owned=False)
        assert "another user namespace" in reason("embedded", errno.EPERM, around)


@pytest.mark.parametrize(
    ("number", "family", "facts", "said"),
    [
        (errno.EAFNOSUPPORT, V6, {"ipv6_disabled_at_boot": True}, "switched off at boot"),
        (errno.EAFNOSUPPORT, V6, {"ipv6_module": False}, "this kernel has no IPv6"),
        (errno.EAFNOSUPPORT, V6, {"seccomp_filter": True}, "seccomp filter"),
        (errno.EAFNOSUPPORT, V4, {"seccomp_filter": True}, "seccomp filter"),
        (errno.EAFNOSUPPORT, V4, {}, "this kernel has no IPv4"),
        (errno.EPROTONOSUPPORT, V4, {}, "since 3.0"),
        (errno.EPROTONOSUPPORT, V6, {}, "since 3.11"),
        (errno.EADDRINUSE, V4, {}, "65535 identifiers"),
        (errno.EMFILE, V4, {}, "file descriptors open already"),
        (errno.ENFILE, V4, {}, "fs.file-max"),
        (errno.EIO, V4, {}, "Input/output error"),
    ],
)
def test_other_refusals(number: int, family: int, facts: dict[str, object], said: str) -> None:
    assert said in reason("kernel", number, somebody(**facts), family)


class TestSurroundingsThatExist:
    def test_closed_range_refuses_everybody_the_kernels_sockets(self) -> None:
        diagnosis = in_private_network(diagnose)
        assert states(diagnosis) == [False, False, True, True]
        assert {kind.errno for kind in diagnosis.kinds[:2]} == {errno.EACCES}

    def test_open_range_gives_them(self) -> None:
        diagnosis = in_private_network(diagnose, group_range=EVERYBODY)
        assert states(diagnosis) == [True, True, True, True]

    def test_a_plain_user_with_an_open_range_has_the_kernels_sockets_only(self) -> None:
        diagnosis = in_private_network(diagnose, group_range=EVERYBODY, who=Credentials())
        assert states(diagnosis) == [True, True, False, False]
        assert "CAP_NET_RAW, which this process does not have" in own_kinds(diagnosis)[2].reason

    def test_a_plain_user_with_a_closed_range_has_nothing(self) -> None:
        diagnosis = in_private_network(diagnose, who=Credentials())
        assert not diagnosis.usable

    @needs_root
    def test_the_cure_works(self) -> None:
        cure = in_private_network(diagnose, who=Credentials(gid=4711)).kinds[0].cures[0]
        assert cure.line == f'sysctl -w {GROUP_RANGE}="4711 4711"'
        cured = in_private_network(diagnose, group_range="4711 4711", who=Credentials(gid=4711))
        assert states(cured)[:2] == [True, True]

    @needs_root
    def test_a_supplementary_group_is_enough(self) -> None:
        user = Credentials(gid=4711, groups=(27, 4712))
        assert states(in_private_network(diagnose, group_range="4712 4712", who=user))[:2] == [True, True]

    def test_reordering_map_of_a_container_is_seen_through(self) -> None:
        gid_map = "\n".join(f"{inside} {outside} {count}" for inside, outside, count in KEEP_ID)
        diagnosis = in_user_namespace(diagnose, gid_map=gid_map, gid=1000, group_range="0 65535")
        assert diagnosis.surroundings.gid_map == KEEP_ID
        assert "only seems to admit group 1000" in diagnosis.kinds[0].reason
        cured = in_user_namespace(diagnose, gid_map=gid_map, gid=1000, group_range="1000 1000")
        assert states(cured)[:2] == [True, True]

    def test_ends_in_the_wrong_order_outside_are_stored_as_nobody(self) -> None:
        gid_map = "\n".join(f"{inside} {outside} {count}" for inside, outside, count in KEEP_ID)
        diagnosis = in_user_namespace(diagnose, gid_map=gid_map, gid=1000, group_range="0 1000")
        assert diagnosis.surroundings.group_range == (OVERFLOW, OVERFLOW)
        assert "most likely closed" in diagnosis.kinds[0].reason

    def test_unmapped_group_is_seen(self) -> None:
        diagnosis = in_user_namespace(diagnose, gid_map="0 100000 1000", gid=None, group_range="0 999")
        assert diagnosis.surroundings.gid == OVERFLOW
        assert "not mapped in this user namespace" in diagnosis.kinds[0].reason

    def test_a_new_user_namespace_does_not_own_the_network(self) -> None:
        def inside() -> Diagnosis | str:
            try:
                unshare(CLONE_NEWUSER)
            except OSError as err:
                return str(err)
            return diagnose()

        diagnosis = in_child(inside)
        if isinstance(diagnosis, str):
            pytest.skip(f"no user namespace can be made here: {diagnosis}")
        assert not diagnosis.surroundings.network_owned
        assert states(diagnosis)[2:] == [False, False]

    @pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT], ids=os.strerror)
    def test_a_seccomp_filter_is_suspected(self, number: int) -> None:
        if platform.machine() not in SYSTEM_CALL_SOCKET:
            pytest.skip(f"the number of socket() on {platform.machine()} is not in the table of this test")

        def inside() -> Diagnosis:
            refuse_sockets(number)
            return diagnose()

        diagnosis = in_private_network(inside, group_range=EVERYBODY)
        assert [kind.errno for kind in diagnosis.kinds] == [number] * 8
        assert all("seccomp filter" in kind.reason for kind in diagnosis.kinds)

    def test_ipv6_switched_off_opens_sockets_without_addresses(self) -> None:
        def inside() -> Diagnosis:
            for where in ("all", "lo"):
                with open(f"/proc/sys/net/ipv6/conf/{where}/disable_ipv6", "w", encoding="ascii") as setting:
                    setting.write("1")
            return diagnose()

        kernel_v6 = in_private_network(inside, group_range=EVERYBODY).kinds[1]
        assert kernel_v6.usable
        assert "IPv6 is switched off" in kernel_v6.reason
        assert kernel_v6.cures[0].line == "sysctl -w net.ipv6.conf.all.disable_ipv6=0"

    def test_running_out_of_descriptors_is_said(self) -> None:
        def inside() -> Diagnosis:
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            held = hold_all_descriptors()
            diagnosis = diagnose()
            held.clear()
            return diagnosis

        diagnosis = in_private_network(inside, group_range=EVERYBODY)
        assert [kind.errno for kind in diagnosis.kinds] == [errno.EMFILE] * 8
        assert "64 file descriptors" in diagnosis.kinds[0].reason
        assert diagnosis.kinds[0].cures[0].line.startswith("ulimit -n ")


def hold_all_descriptors() -> list[socket.socket]:
    held: list[socket.socket] = []
    with suppress(OSError):
        while True:
            held.append(socket.socket(socket.AF_UNIX))
    return held


class TestTexts:
    def test_short_text_of_a_failure_says_why_what_to_do_and_where_to_read_on(self) -> None:
        first, second, third = in_private_network(diagnose, who=Credentials(gid=0)).short().splitlines()
        assert first.startswith(f"no ping socket can be opened: {GROUP_RANGE}")
        assert second.endswith(f'sysctl -w {GROUP_RANGE}="0 0"')
        assert third == "more ways and reasons: pingsock doctor"

    def test_short_text_of_success_lists_the_kinds(self) -> None:
        diagnosis = in_private_network(diagnose, group_range=EVERYBODY, who=Credentials(gid=0))
        assert diagnosis.short() == "can be opened: kernel (IPv4, IPv6)"

    def test_one_family_can_be_asked_for(self) -> None:
        diagnosis = in_private_network(lambda: diagnose(V6))
        assert [(kind.name, kind.family) for kind in diagnosis.kinds] == [
            ("kernel", V6),
            ("borrowed", V6),
            ("served", V6),
            ("embedded", V6),
        ]

    def test_families_with_one_reason_share_a_paragraph(self) -> None:
        text = in_private_network(diagnose, who=Credentials(gid=0)).text()
        assert text.count("kernel (IPv4, IPv6): ") == 1
        assert text.count("embedded (IPv4, IPv6): ") == 1
        assert text.count("sysctl -w") == 1

    def test_dictionary_is_ready_for_json(self) -> None:
        report = json.loads(json.dumps(in_private_network(diagnose).as_dict()))
        kernel = report["kinds"][0]
        assert (kernel["kind"], kernel["family"], kernel["usable"], kernel["errno"]) == (
            "kernel",
            "IPv4",
            False,
            "EACCES",
        )
        assert set(kernel["cures"][0]) == {"place", "line", "note"}
        assert report["surroundings"]["group_range"] is not None
