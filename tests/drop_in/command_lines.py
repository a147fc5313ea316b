"""The command lines that both programs are run with, as one would type them.

A line may begin with assignments of the environment and end with circumstances in brackets: "SIGINT after TEXT" (sent
when TEXT was printed; "after N TEXT" when it was printed N times; "after N requests" when so many were on the wire),
"ignoring NAMES" (signals inherited as ignored) and "on a terminal". `bed` and `odd_hosts` say who answers what.
"""

from __future__ import annotations

import re
import shlex

from drop_in.runs import Line, Signal

EVERYBODY = ("root", "user")

BASICS = """
ping -c 2 -i 0.2 10.77.1.1
ping -c 2 -i 0.2 10.77.2.2
ping -c2 -i.2 fd77:2::2
ping -c 1 127.0.0.1
ping -c 1 ::1
ping -nqc2 -i.2 10.77.2.2
ping 10.77.2.2 -c 1 -q
ping -c 1 -- 10.77.2.2
ping -c 1 -q fd77:1::1
ping -c 1 127.1
ping -c 1 0
ping -c 1 ::
ping -c 1 0x0a4d0101
ping -c 1 10.77.1.2
ping -c 1 fd77:1::2
ping -c 3 -i 0.2 10.77.2.2
ping -c 1 -W 1 10.78.1.1
ping -c 1 -W 1 fd78:1::1
"""

NAMES = """
ping -c 1 localhost
ping -6 -c 1 localhost
ping -4 -c 1 localhost
ping -c 2 -i .2 server.test
ping -nc 1 server.test
ping -c 1 server
ping -c 1 server6.test
ping -c 1 -n server6.test
ping -6 -c 1 server6.test
ping -c 1 both.test
ping -t 1 -c 1 server.test
ping -c 1 -W 1 plain.test
ping -c 1 -W 1 plain6.test
ping -c 1 -W 1 far-behind.test
ping -n -c 1 -W 1 far-behind.test
ping -c 1 -W 1 elsewhere.test
ping -4 -c 1 server6.test
ping -6 -c 1 server.test
ping -c 1 nosuchname.invalid
ping -4 -c 1 nosuchname.invalid
ping ''
ping ' '
ping a..b
ping 256.1.1.1
ping -c 1 10.77.2.2.
ping4 -c 1 localhost
ping6 -c 1 localhost
ping4 -c 1 10.77.2.2
ping6 -c 1 fd77:2::2
ping4 ::1
ping6 127.0.0.1
ping4 -6 -c 1 ::1
ping6 -4 -c 1 127.0.0.1
ping -4 -6 10.77.1.1
ping -6 -4 10.77.1.1
ping -4 -4 -c 1 10.77.1.1
ping -4 ::1
ping -6 127.0.0.1
ping -64 ::1
ping -H -c 1 10.77.2.2
ping -H -c 1 fd77:2::2
ping -H -n -c 1 10.77.2.2
ping -n -H -c 1 server.test
ping -H -t 1 -c 1 10.77.2.2
IPUTILS_PING_PTR_LOOKUP=0 ping -c 1 server.test
IPUTILS_PING_PTR_LOOKUP=0 ping -q -c 1 server.test
IPUTILS_PING_PTR_LOOKUP=0 ping -H -c 1 server.test
IPUTILS_PING_PTR_LOOKUP=1 ping -c 1 server.test
POSIXLY_CORRECT=1 ping -c 1 10.77.1.1
POSIXLY_CORRECT=1 ping 10.77.1.1 -c 1
"""

USAGE = """
ping
ping -h
ping -Z
ping --help
ping -c
ping -q
ping -c 1 -Z 10.77.1.1
ping -c 0 -Z 10.77.1.1
ping -qZ 10.77.1.1
ping -V
ping -V -c 0
ping -q -V 10.77.1.1
ping '-?' 10.77.2.2
"""

NUMBERS = """
ping -c 0 10.77.1.1
ping -c -1 10.77.1.1
ping -c x 10.77.1.1
ping -c 5x 10.77.1.1
ping -c '' 10.77.1.1
ping -c ' +1' 10.77.1.1
ping -c 01 10.77.1.1
ping -c 0x1 10.77.1.1
ping -c 1.5 10.77.1.1
ping -c 99999999999999999999 10.77.1.1
ping -c 9223372036854775808 10.77.1.1
ping -c 2 -c 1 10.77.1.1
ping -s x 10.77.1.1
ping -s -1 10.77.1.1
ping -s '' 10.77.1.1
ping -s 2147483648 10.77.1.1
ping -s 65508 -c 1 -W 0.2 10.77.1.1
ping -s 65528 -c 1 -W 0.2 fd77:1::1
ping -t 256 10.77.1.1
ping -t -1 10.77.1.1
ping -t x 10.77.1.1
ping -t 0 10.77.1.1
ping -t 0 -c 1 -W 0.2 fd77:1::1
ping -w 0.5 10.77.1.1
ping -w -1 10.77.1.1
ping -w x 10.77.1.1
ping -w 2147483648 10.77.1.1
ping -W -1 10.77.1.1
ping -W x -c 1 10.77.1.1
ping -W 4294 -c 1 10.77.1.1
ping -W 4295 -c 1 10.77.1.1
ping -W nan 10.77.1.1
ping -W 1e400 10.77.1.1
ping -i -1 -c 1 10.77.1.1
ping -i nan 10.77.1.1
ping -i 'nan(12)' 10.77.1.1
ping -i inf 10.77.1.1
ping -i 1e10 10.77.1.1
ping -i 1e400 10.77.1.1
ping -i 1e-310 10.77.1.1
ping -i 1x -c 1 10.77.1.1
ping -i 0x1p-3 -c 2 10.77.1.1
ping -i 0x1p-7 -c 2 10.77.1.1
ping -l 3 -i 1000000 -c 1 10.77.1.1
ping -i '' 10.77.1.1
ping -i 2147483.647 -c 3 10.77.1.1
ping -i 2147483.648 -c 3 10.77.1.1
ping -l 0 10.77.1.1
ping -l 65537 10.77.1.1
ping -l -1 10.77.1.1
ping -l x 10.77.1.1
ping -e x 10.77.1.1
ping -e 65536 10.77.1.1
ping -e -1 10.77.1.1
ping -e 0x1234 10.77.1.1
ping -m x 10.77.1.1
ping -m -1 10.77.1.1
ping -m '' 10.77.1.1
ping -m 4294967296 10.77.1.1
ping -S 0 10.77.1.1
ping -S -1 10.77.1.1
ping -S x 10.77.1.1
ping -Q 256 10.77.1.1
ping -Q -1 -c 1 10.77.1.1
ping -Q x 10.77.1.1
ping -Q '' -c 1 10.77.1.1
ping -Q 0x100 10.77.1.1
ping -Q 0x1g 10.77.1.1
ping -Q 0x -c 1 10.77.2.2
ping -Q 12x 10.77.2.2
ping -Q -2 -c 1 10.77.2.2
ping -Q -2 -4 -c 1 10.77.2.2
ping -F x fd77:1::1
ping -F 0x100000 fd77:1::1
ping -F -1 fd77:1::1
ping -p xyz 10.77.1.1
ping -p 1g 10.77.1.1
ping -p '' -c 1 10.77.1.1
ping -p zz -c 0 10.77.1.1
ping -p 12 -c 0 10.77.1.1
ping -M x 10.77.1.1
ping -M '' 10.77.1.1
ping -M Do 10.77.1.1
ping -T x 10.77.1.1
ping -T '' 10.77.1.1
ping -T 1 10.77.1.1
"""

SIZES = """
ping -c 2 -i .2 -s 0 10.77.2.2
ping -c 2 -i .2 -s 1 fd77:2::2
ping -c 2 -i .2 -s 15 10.77.2.2
ping -c 2 -i .2 -s 15 fd77:2::2
ping -c 2 -i .2 -s 16 10.77.2.2
ping -c 2 -i .2 -s 16 fd77:2::2
ping -c 1 -s 1000 10.77.2.2
ping -c 1 -s 3000 10.77.1.1
ping -c 1 -s 3000 fd77:1::1
ping -c 1 -s 65507 10.77.1.1
ping -c 1 -s 65527 fd77:1::1
ping -c 1 -s 65507 127.0.0.1
ping -c 1 -s 1450 -W 1 10.77.2.2
ping -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -c 2 -i .3 -s 1450 -W 1 fd77:2::2
ping -q -c 1 -s 0 10.77.2.2
ping -q -c 1 -s 0 -W 0.2 10.77.3.99
ping -c 1 -s 0x10 10.77.2.2
ping -c 1 -s 65499 10.77.1.1
"""

PATH_MTU = """
ping -M do -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -M do -c 2 -i .3 -s 1450 -W 1 fd77:2::2
ping -M want -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -M want -c 2 -i .3 -s 1450 -W 1 fd77:2::2
ping -M dont -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -M dont -c 2 -i .3 -s 1450 -W 1 fd77:2::2
ping -M dont -c 1 -s 3000 10.77.1.1
ping -M dont -c 1 -s 2000 10.77.2.2
ping -M dont -c 1 -s 2000 fd77:2::2
ping -M want -c 1 -s 2000 10.77.1.1
ping -M do -c 1 10.77.2.2
ping -M dont -c 1 10.77.2.2
ping -M want -c 1 10.77.2.2
ping -M do -c 1 -s 1372 10.77.2.2
ping -M do -c 1 -s 1373 10.77.2.2
ping -M do -c 1 -s 1352 fd77:2::2
ping -M do -c 1 -s 1353 fd77:2::2
ping -M do -c 1 -s 1473 -W .5 10.77.1.1
ping -M do -c 2 -i .2 -s 1473 -W .5 10.77.1.1
ping -M do -c 1 -s 1453 -W .5 fd77:1::1
ping -M do -c 1 -s 2000 fd77:1::1
ping -M do -c 1 -s 2000 -W .5 -q 10.77.1.1
ping -M do -M dont -c 1 -s 3000 10.77.1.1
ping -M probe -c 1 10.77.2.2
ping -M probe -c 1 -s 1450 -W 1 10.77.2.2
ping -c 1 -W 1 10.78.1.30
ping -c 1 -W 1 fd78:1::30
"""

TTL_AND_TOS = """
ping -t 1 -c 2 -i 0.2 10.77.2.2
ping -t 1 -c 2 -i 0.2 fd77:2::2
ping -t 2 -c 1 10.77.2.2
ping -t 64 -c 1 10.77.2.2
ping -t 255 -c 1 10.77.2.2
ping -t 255 -c 1 fd77:2::2
ping -q -t 1 -c 1 10.77.2.2
ping -Q 0 -c 1 10.77.2.2
ping -Q 8 -c 1 10.77.2.2
ping -Q 0x10 -c 1 10.77.2.2
ping -Q 0XB8 -c 1 10.77.2.2
ping -Q 255 -c 1 10.77.2.2
ping -Q 0x20 -c 1 fd77:2::2
ping -Q 184 -c 1 fd77:2::2
ping -Q 255 -c 1 fd77:2::2
ping -6 -Q 256 fd77:2::2
ping -c 1 -W 1 10.78.1.26
ping -c 1 -W 1 10.78.1.12
ping -c 1 -W 1 10.78.1.13
ping -c 1 -W 1 fd78:1::12
"""

REJECTED = """
ping -c 1 10.77.3.0
ping -c 1 10.77.3.1
ping -c 1 10.77.3.2
ping -c 1 10.77.3.3
ping -c 1 10.77.3.4
ping -c 1 10.77.3.5
ping -c 1 10.77.3.6
ping -c 1 fd77:3::0
ping -c 1 fd77:3::1
ping -c 1 fd77:3::2
ping -c 1 fd77:3::3
ping -c 1 fd77:3::4
ping -c 1 fd77:3::5
ping -c 1 -W 0.2 10.77.3.99
ping -c 1 -W 0.2 fd77:3::99
ping -c 2 -i .2 -W 0.2 10.77.3.99
ping -c 3 -i .2 10.77.3.1
ping -q -c 2 -i .2 10.77.3.1
ping -c 1 10.77.7.1
ping -c 1 10.77.8.1
ping -c 1 10.77.9.1
ping -c 1 fd77:7::1
ping -c 1 fd77:8::1
ping -c 1 fd77:9::1
ping -c 1 -W 2 10.77.1.9
ping -c 2 -i .2 -W 2 10.77.1.9
ping -c 4 -i 0.5 -W 4 10.77.1.9
ping -c 1 -W 0.3 10.77.6.1
ping -c 2 -i .2 -W 0.3 fd77:6::1
"""

REPORTED = "\n".join(
    [f"ping -c 1 -W 1 10.78.3.{code}" for code in range(17)]
    + [f"ping -c 1 -W 1 10.78.{kind}.{code}" for kind, code in ((4, 0), (4, 1), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4))]
    + [f"ping -c 1 -W 1 10.78.{kind}.{code}" for kind, code in ((11, 0), (11, 2), (12, 0), (12, 1), (12, 2))]
    + [f"ping -c 1 -W 0.3 10.78.{kind}.{code}" for kind, code in ((11, 1), (6, 0), (40, 1), (77, 3))]
    + [f"ping -c 1 -W 1 fd78:e:1::{code}" for code in range(9)]
    + [f"ping -c 1 -W 1 fd78:e:{kind}::{code}" for kind, code in ((2, 0), (2, 1), (3, 0), (3, 1), (3, 2))]
    + [f"ping -c 1 -W 1 fd78:e:4::{code}" for code in range(4)]
    + [f"ping -c 1 -W 0.3 fd78:e:{kind}::{code}" for kind, code in ((100, 0), (127, 2))]
)

ODD = """
ping -c 1 -W 1 10.78.1.2
ping -c 2 -i .3 10.78.1.2
ping -c 2 -i .3 fd78:1::2
ping -c 2 -i .3 10.78.1.3
ping -q -c 2 -i .3 10.78.1.3
ping -c 2 -i .3 -W 1 10.78.1.4
ping -c 2 -i .3 -W 1 fd78:1::4
ping -c 1 -W 1 10.78.1.5
ping -c 1 -W 1 10.78.1.6
ping -c 1 -W 1 fd78:1::6
ping -c 1 -W 1 10.78.1.7
ping -c 1 -W 1 fd78:1::7
ping -c 1 -W 1 -s 100 10.78.1.7
ping -c 1 -W 1 -s 4 10.78.1.24
ping -c 2 -i .3 -W 1 10.78.1.8
ping -q -c 1 -W 1 10.78.1.8
ping -c 1 -W 1 -p ff00 10.78.1.8
ping -c 1 -W 0.3 10.78.1.9
ping -c 1 -W 0.3 fd78:1::9
ping -c 2 -i .3 -W 1 10.78.1.10
ping -c 1 -W 1 fd78:1::10
ping -c 1 -W 1 10.78.1.11
ping -c 1 -W 1 fd78:1::11
ping -c 1 -W 0.3 10.78.1.14
ping -c 2 -i .3 -W 0.3 10.78.1.15
ping -c 1 -W 0.3 10.78.1.16
ping -c 2 -i .5 10.78.1.17
ping -c 2 -i .5 fd78:1::17
ping -c 2 -i .3 10.78.1.18
ping -c 2 -i .3 10.78.1.19
ping -c 1 -W 1 10.78.1.20
ping -c 1 -W 1 fd78:1::20
ping -c 1 -W 0.5 10.78.1.21
ping -c 1 -W 0.5 10.78.1.22
ping -c 1 10.78.1.23
ping -c 1 -W 1 10.78.1.24
ping -c 2 -i .3 10.78.1.25
ping -c 1 -W 0.3 10.78.1.27
ping -c 1 -W 0.3 10.78.1.28
ping -c 2 -i 1 10.78.1.29
ping -c 3 -i 1 10.78.1.40
ping -c 3 -i 1 fd78:1::40
ping -c 2 -i .3 -W .5 10.78.1.41
ping -c 3 -i .3 10.78.1.42
ping -c 3 -i .3 fd78:1::42
ping -c 2 -i .3 10.78.1.43
ping -c 3 -i .3 10.78.1.44
ping -c 4 -i .3 10.78.1.45
ping -c 2 -i .3 10.78.1.46
ping -c 3 -i .3 10.78.1.47
ping -c 3 -i .3 -W .5 10.78.1.48
ping -c 3 -i .3 10.78.1.49
ping -c 3 -i .3 fd78:1::49
"""

DISPLAY = """
ping -a -c 2 -i .2 10.77.2.2
ping -a -c 1 10.77.3.1
ping -a -c 2 -i .3 10.78.1.2
ping -a -q -c 1 10.77.2.2
ping -a -c 1 -W 1 10.78.1.4
ping -a -c 1 -W 1 10.78.1.7
ping -D -c 2 -i .2 10.77.2.2
ping -D -c 1 fd77:2::2
ping -D -c 1 10.77.3.1
ping -D -c 1 fd77:3::1
ping -D -O -c 2 -i .3 -W .3 10.77.3.99
ping -D -q -c 1 10.77.2.2
ping -D -c 1 -W 1 10.78.1.7
ping -D -a -c 1 -W 1 10.78.1.2
ping -O -c 2 -i .3 10.77.2.2
ping -O -c 3 -i .3 -W .3 10.77.3.99
ping -O -q -c 3 -i .3 -W .3 10.77.3.99
ping -O -c 3 -i .3 10.77.3.1
ping -O -c 4 -i .3 10.78.1.42
ping -O -c 3 -i .3 fd78:1::41
ping -O -c 3 -i 1 10.78.1.40
ping -O -w 1 -i .3 10.77.3.99
ping -U -c 1 10.77.2.2
ping -U -c 1 fd77:2::2
ping -U -c 2 -i .3 10.78.1.2
ping -3 -c 1 10.78.1.23
ping -3 -c 1 10.77.2.2
ping -v -c 1 10.77.2.2
ping -v -c 1 fd77:2::2
ping -v -c 1 server.test
ping -v -c 1 server6.test
ping -v -4 -c 1 10.77.2.2
ping -v -6 -c 1 fd77:2::2
ping -v -c 1 localhost
ping -v -U -c 1 ::1
ping -v -4 -c 1 server.test
ping -v -q -c 1 10.77.2.2
ping -v -c 1 nosuchname.invalid
ping -v -c 1 10.77.3.1
ping -v -c 2 -i .3 10.78.1.2
ping -v -c 1 -W 0.3 10.78.1.14
ping4 -v -c 1 10.77.2.2
ping -v -c 1 -6 10.77.2.2
ping -v -c 1 -4 ::1
ping -p ff -c 1 10.77.2.2
ping -p 0123456789abcdef0123456789abcdef -c 1 10.77.2.2
ping -p 0123456789abcdef0123456789abcdef00 -c 1 10.77.2.2
ping -p abc -c 1 10.77.2.2
ping -p a -c 1 10.77.2.2
ping -p A5 -c 1 fd77:2::2
ping -p ff -s 8 -c 1 10.77.2.2
ping -p ab -s 5 -c 1 10.77.2.2
ping -p fff -c 1 10.77.2.2
ping -p 12zz -c 1 10.77.2.2
ping -q -p ff -c 1 10.77.2.2
ping -p ff -q -c 1 10.77.2.2
ping -p ff -p 00 -c 1 10.77.2.2
ping -p 0x12 -c 1 10.77.2.2
ping -n -a -D -O -v -c 1 10.77.2.2
"""

SOURCES = """
ping -I nope -c 1 10.77.1.1
ping -I nope -c 1 fd77:1::1
ping -I '' -c 1 10.77.1.1
ping -I ::g 10.77.1.1
ping -I 1.2.3.4 10.77.1.1
ping -I 1.2.3.4.5 -c 1 10.77.1.1
ping -I fd77::7 fd77:1::1
ping -I far -c 1 10.77.2.2
ping -I far -c 1 fd77:2::2
ping -I far -c 1 server.test
ping -I 10.77.1.2 -c 1 10.77.2.2
ping -I 10.77.1.2 -c 1 server.test
ping -I fd77:1::2 -c 1 fd77:2::2
ping -I fd77:1::2 -c 1 server6.test
ping -I fd77:1::2%far -c 1 fd77:2::2
ping -I 0.0.0.0 -c 1 10.77.2.2
ping -I :: -c 1 fd77:2::2
ping -I 10.77.1.2 -I 0.0.0.0 -c 1 10.77.2.2
ping -I fd77:1::2 -c 1 10.77.2.2
ping -I 10.77.1.2 -c 1 fd77:2::2
ping -I lo -c 1 -W .2 10.77.2.2
ping -I lo -c 1 -W .2 10.77.1.2
ping -I far -I 10.77.1.2 -c 1 10.77.2.2
ping -I 10.77.1.2 -I far -c 1 10.77.2.2
ping -I far -I fd77:1::2 -c 1 fd77:2::2
ping -I far -c 1 -W .2 127.0.0.1
ping -I 127.0.0.1 -c 1 127.0.0.1
ping -I 127.0.0.1 -c 1 -W .2 10.77.2.2
ping -I 10.78.0.1 -c 1 -W .3 10.78.1.1
ping -I odd -c 1 10.78.1.1
ping -I odd -c 1 fd78:1::1
ping -I odd -c 1 -W .3 10.77.2.2
ping -B -c 1 10.77.2.2
ping -B -c 1 fd77:2::2
ping -B -c 1 server.test
ping -B -I far -c 1 10.77.2.2
ping -B -I 10.77.1.2 -c 1 10.77.2.2
ping -B -q -c 2 -i .2 10.77.2.2
ping -r -c 1 10.77.1.1
ping -r -c 1 fd77:1::1
ping -r -c 1 -W .3 10.77.2.2
ping -r -c 1 -W .3 fd77:2::2
ping -r -c 1 127.0.0.1
ping -C -c 1 10.77.2.2
ping -C -c 2 -i .2 10.77.3.1
ping -C -c 1 fd77:2::2
ping -C -c 1 -W .3 10.78.1.10
ping -d -c 1 10.77.2.2
ping -d -c 1 fd77:2::2
ping -B -c 1 ip6-localhost
ping -B -W .3 -c 1 fe80::1%far
ping -I far -I 10.77.1.2 -n -c 1 server.test
ping -I lo -I 10.77.1.2 -c 1 -W .3 10.77.2.2
ping -I lo -I fd77:1::2 -c 1 -W .3 fd77:2::2
ping -I 10.77.1.2 -c 1 -W .3 10.77.7.1
ping -I 10.77.1.2 -c 1 -W .3 10.77.8.1
ping -I 10.77.1.2 -c 1 -W .3 10.77.9.1
ping -I fd77:1::2 -c 2 -i .2 -W .3 fd77:7::1
ping -I fd77:1::2 -q -c 1 -W .3 fd77:7::1
ping -S 1 -c 1 10.77.2.2
ping -S 100000 -c 1 10.77.2.2
ping -S 65536 -c 1 fd77:2::2
"""

IDENTS = """
ping -e 4660 -c 1 10.77.2.2
ping -e 4660 -c 1 fd77:2::2
ping -e 65535 -c 2 -i .2 10.77.2.2
ping -e 1 -v -c 1 10.77.2.2
ping -e 7 -D -c 1 10.77.2.2
ping -e 01 -c 1 10.77.2.2
ping -e 4713 -v -c 1 127.0.0.1
ping -e 4660 -c 1 10.77.3.1
ping -e 4660 -c 1 -W .3 10.78.1.14
"""

# A label that was used is kept by the kernel for a while, and given to nobody else: each is used once.
LABELS = """
ping -F 0 -c 1 fd77:2::2
ping -F '' -c 1 fd77:1::1
ping -F 1 -c 1 fd77:2::2
ping -F 74565 -c 1 fd77:2::2
ping -F 0x12346 -c 1 fd77:2::2
ping -F 0xfffff -c 1 fd77:2::2
ping -F 0x12347 -q -c 1 server6.test
ping -F 0x12348 -I fd77:1::2 -c 1 fd77:2::2
ping -F 0x12349 -c 1 10.77.2.2
ping -F 7 -c 1 10.77.2.2
ping -F 0x1234A -Q 0x20 -c 1 fd77:2::2
"""

QUERIES = """
ping -N help -c 1 fd77:2::2
ping -N x -c 1 fd77:2::2
ping -N name -c 1 -W .3 fd77:2::2
ping -N name -c 1 -W .3 fd77:3::1
ping -N name -c 1 -W .3 10.77.2.2
ping -N ipv6 -c 1 -W .3 fd77:2::2
ping -N ipv4-all -c 1 -W .3 fd77:2::2
ping -N name -N subject-name=server.test -c 1 -W .3 fd77:2::2
ping -N subject-ipv4=10.77.2.2 -N ipv4 -c 1 -W .3 fd77:2::2
ping -N name -N ipv6 -c 1 -W .3 fd77:2::2
ping -N subject-fqdn=a -N ipv6-all -c 1 -W .3 fd77:2::2
ping -N subject-ipv6=x -c 1 -W .3 fd77:2::2
"""

PACE = """
ping -A -c 3 10.77.2.2
ping -A -c 3 fd77:2::2
ping -A -q -c 3 10.77.2.2
ping -A -i .2 -c 3 -q 10.77.2.2
ping -A -c 2 -W .3 10.77.3.99
ping -f -c 3 -i .2 10.77.2.2
ping -f -c 3 -i .2 fd77:2::2
ping -f -q -c 3 -i .2 10.77.2.2
ping -f -i .01 -c 5 10.77.2.2
ping -f -i .01 -c 5 fd77:2::2
ping -f -i .01 -c 3 -q 10.77.2.2
ping -f -c 3 -i .2 -W .3 10.77.3.99
ping -f -c 2 -i .3 10.77.3.1
ping -f -c 2 -i .3 fd77:3::1
ping -f -c 2 -i .3 10.78.1.2
ping -f -c 3 -i .3 10.78.1.42
ping -f -c 2 -i .3 -W 1 10.78.1.7
ping -f -c 2 -i .3 -W 1 10.78.1.4
ping -f -c 2 -i .3 -W .3 10.78.1.9
ping -f -c 2 -i .3 server.test
ping -f -H -c 1 -i .3 server.test
ping -f -c 1 -i .3 -D 10.77.3.1
ping -f -D -O -c 2 -i .3 -W .3 10.77.3.99
ping -f -i 2 -c 1 10.77.2.2
ping -f -a -c 2 -i .2 10.77.2.2
ping -i 0.002 -c 3 10.77.1.1
ping -i 0 -c 3 10.77.1.1
ping -i 0.001 -c 3 10.77.1.1
ping -i 0.0019 -c 3 10.77.1.1
ping -f -c 3 10.77.1.1
ping -f -i 0.001 -c 3 10.77.1.1
ping -f -A -c 3 -i .2 10.77.1.1
ping -i 0,5 -c 1 10.77.1.1
ping -i x -c 2 10.77.1.1
ping -i 1e-400 -c 2 10.77.1.1
ping -l 1 -c 2 -i .2 10.77.2.2
ping -l 2 -c 2 -i .2 10.78.1.23
ping -l 3 -c 3 -i .2 10.78.1.23
ping -l 3 -c 5 -i .2 10.78.1.23
ping -l 3 -c 5 -i .2 10.77.2.2
ping -l 3 -c 1 -i .2 10.78.1.23
ping -l 3 -c 3 -i .2 -W .3 10.77.3.99
ping -l 4 -c 4 -i .2 10.78.1.23
ping -l 20 -c 20 -i .2 -q 10.78.1.23
ping -l 3 -c 1 -w 2 10.77.2.2
ping -l 3 -c 3 -i .01 -W .3 10.77.3.1
ping -l 3 -c 3 -i .01 -W .3 fd77:3::1
ping -w 1 -c 2 -i 0.2 10.77.2.2
ping -w 1 -i 0.4 10.77.2.2
ping -w 1 10.77.3.1
ping -w 1 10.77.3.99
ping -w 1 -c 5 -i .4 10.78.1.41
ping -w 3 -c 2 -i .2 10.78.1.42
ping -w 1 -c 1 10.77.3.99
ping -w 0 -c 1 10.77.2.2
ping -w 2 -c 3 -i .2 10.78.1.44
ping -w 2 -c 2 -i .3 10.78.1.18
ping -W 0 -c 1 10.77.2.2
ping -W 0.2 -c 1 -w 1 10.77.3.99
ping -W 0.1 -c 2 -i .2 10.77.2.2
ping -W .5 -c 1 10.78.1.40
ping -c 2 -i 1 -W 3 10.78.1.50
"""

GROUPS = """
ping -c 1 -W 0.2 224.0.0.1
ping -c 1 -W 0.2 ff02::1%far
ping -c 1 -W .3 ff02::1
ping -c 1 255.255.255.255
ping -c 1 10.77.1.255
ping -b -c 1 -W 1 10.77.1.255
ping -b -q -c 1 -W 1 10.77.1.255
ping -b -c 1 10.77.2.2
ping -b -i .2 -c 2 10.77.1.255
ping -b -M do -c 1 10.77.1.255
ping -b -M dont -c 1 10.77.1.255
ping -b -M want -c 1 10.77.1.255
ping -M dont -c 1 -W .2 224.0.0.1
ping -M do -c 1 -W .3 224.0.0.1
ping -b -c 1 -W 1 -s 2000 10.77.1.255
ping -b -f -i .5 -c 1 10.77.1.255
ping -c 1 -i 0.2 224.0.0.1
ping -c 1 -i 0.2 ff02::1%far
ping -c 1 -W .3 -I far 224.0.0.1
ping -c 1 -W .3 -I far ff02::1
ping -c 1 -W .3 -I 10.77.1.2 224.0.0.1
ping -L -c 1 -W .3 -I far 224.0.0.1
ping -L -c 1 -W .3 ff02::1%far
ping -L -c 1 10.77.2.2
ping -t 5 -c 1 -W .3 -I far 224.0.0.1
ping -t 5 -c 1 -W .3 ff02::1%far
ping -v -c 1 -W .3 -I far 224.0.0.1
ping -c 1 -W 0.3 fe80::1%far
ping -c 1 -W 0.2 fe80::1
ping -c 1 -W 0.2 fe80::1%nope
ping -c 1 -W 0.3 -I far fe80::1
ping -4 -c 1 fe80::1
"""

OPTIONS = """
ping -R -c 1 10.77.2.2
ping -R -c 2 -i .2 10.77.2.2
ping -R -c 1 server.test
ping -n -R -c 2 -i .2 server.test
ping -R -q -c 1 10.77.2.2
ping -R -c 1 127.0.0.1
ping -R -c 2 -i .2 127.0.0.1
ping -R -c 2 -i .2 10.77.1.1
ping -R -c 1 -W .3 10.77.3.1
ping -R -c 2 -i .3 10.78.1.1
ping -R -s 65468 -c 1 -W .3 10.77.2.2
ping -R -c 1 fd77:2::2
ping -R -c 1 -t 1 10.77.2.2
ping -R -D -a -c 1 10.77.2.2
ping -R -T tsonly 10.77.2.2
ping -T tsonly -R 10.77.2.2
ping -R -c 1 10.77.1.1 10.77.2.2
ping -T tsonly -c 1 10.77.2.2
ping -T tsonly -c 2 -i .2 10.77.2.2
ping -T tsandaddr -c 1 10.77.2.2
ping -T tsandaddr -c 2 -i .2 10.77.2.2
ping -T tsandaddr -c 1 server.test
ping -n -T tsandaddr -c 1 server.test
ping -T tsandaddr -c 1 -W 1 10.78.1.1
ping -T tsprespec -c 1 10.77.1.1 10.77.2.2
ping -T tsprespec -c 1 10.77.1.1
ping -T tsprespec -c 1 10.77.1.2 10.77.1.1 10.77.2.2
ping -T tsprespec -c 1 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 10.77.2.2
ping -T tsprespec -c 1 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4 5.5.5.5 10.77.2.2
ping -T tsonly -c 1 fd77:2::2
ping -T tsonly -c 1 10.77.1.1 10.77.2.2
ping -c 1 -W .5 10.77.1.1 10.77.2.2
ping -r -c 1 -W .5 10.77.1.1 10.77.2.2
ping -c 1 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 1.1.1.9 1.1.1.10 10.77.2.2
ping -c 1 fd77:1::1 fd77:2::2
ping -c 1 nosuchname.invalid 10.77.2.2
ping -m 5 -c 1 10.77.2.2
ping -m 0 -c 1 10.77.2.2
ping -m 5 -c 1 fd77:2::2
ping -m 0x10 -c 1 10.77.2.2
ping -m 4294967295 -c 1 10.77.2.2
ping -e 0 -c 1 10.77.2.2
ping -e 0 -c 1 fd77:2::2
"""

SIGNALS = """
ping -i 0.2 10.77.2.2 [SIGINT after icmp_seq=2]
ping -i 0.2 fd77:2::2 [SIGINT after icmp_seq=2]
ping -q -i 0.2 10.77.3.99 [SIGINT after 2 requests]
ping 10.77.3.99 [SIGINT after 1 requests]
ping 10.77.2.2 [SIGALRM after icmp_seq=1]
ping -c 3 -i .4 10.77.2.2 [SIGQUIT after icmp_seq=2]
ping -c 2 -i .4 10.77.3.1 [SIGQUIT after icmp_seq=1]
ping -c 2 -i .4 -W .4 10.77.3.99 [SIGQUIT after 1 requests]
ping -i .4 10.77.2.2 [SIGQUIT after icmp_seq=1, SIGQUIT after icmp_seq=2, SIGINT after icmp_seq=3]
ping 10.77.2.2 [SIGTERM after icmp_seq=1]
ping 10.77.2.2 [SIGHUP after icmp_seq=1]
ping -i 0.2 10.77.2.2 [ignoring INT QUIT, SIGINT after icmp_seq=2]
ping -c 3 -i .4 10.77.2.2 [ignoring INT QUIT, SIGQUIT after icmp_seq=2]
ping -i .3 10.78.1.2 [SIGINT after 2 DUP!]
ping -i .3 10.77.3.1 [SIGINT after 2 From]
ping -c 5 -w 10 -i .3 10.77.2.2 [SIGINT after icmp_seq=3]
ping -w 10 -i .3 10.77.2.2 [SIGINT after icmp_seq=2]
ping -s 8 -i .3 10.77.2.2 [SIGQUIT after icmp_seq=1, SIGINT after icmp_seq=2]
ping -O -i .3 10.77.3.99 [SIGINT after icmp_seq=2]
"""

TERMINAL = """
NO_COLOR=1 TERM=xterm ping -c 2 -i .2 10.77.2.2 [on a terminal]
NO_COLOR=1 TERM=xterm ping -c 1 fd77:2::2 [on a terminal]
NO_COLOR=1 TERM=xterm ping -c 2 -i .3 10.78.1.2 [on a terminal]
NO_COLOR=1 TERM=xterm ping -c 1 10.77.3.1 [on a terminal]
NO_COLOR=1 TERM=xterm ping -f -c 3 -i .2 10.77.2.2 [on a terminal]
NO_COLOR=1 TERM=xterm ping -O -c 2 -i .3 -W .3 10.77.3.99 [on a terminal]
NO_COLOR=1 TERM=xterm ping -i 0.2 10.77.2.2 [on a terminal, SIGQUIT after icmp_seq=1, SIGINT after icmp_seq=2]
"""

RAW = """
ping -c 1 ::
ping -c 1 -W 0.3 -I far fe80::1
ping -c 2 -i .2 10.77.2.2
ping -c 1 fd77:2::2
ping -c 1 -v 10.77.2.2
ping -c 1 -e 4660 -v 10.77.2.2
ping -c 1 10.77.3.1
ping -c 1 fd77:3::1
ping -t 1 -c 1 10.77.2.2
ping -t 1 -c 1 fd77:2::2
ping -c 2 -i .3 10.78.1.2
ping -c 1 -W 1 10.78.1.4
ping -c 1 -W 1 10.78.1.7
ping -c 1 -W .3 10.78.1.9
ping -f -c 1 -i .3 -W .3 10.78.1.9
ping -c 1 -W 1 10.78.1.10
ping -c 2 -i .3 10.78.1.18
ping -c 2 -i .3 10.78.1.19
ping -c 2 -i .3 10.78.1.46
ping -v -c 2 -i .3 10.78.1.19
ping -q -c 2 -i .3 10.78.1.18
ping -c 1 -W .3 10.78.1.21
ping -c 1 -W .3 10.78.1.14
ping -c 1 -W .3 10.78.11.1
ping -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -M do -c 2 -i .3 -s 1450 -W 1 10.77.2.2
ping -R -c 1 10.77.2.2
ping -T tsandaddr -c 1 10.77.2.2
ping -c 1 -W .3 10.77.3.99
ping -b -c 1 -W 1 10.77.1.255
ping -N name -c 1 -W .3 fd77:2::2
ping -e 0 -c 1 10.77.2.2
ping -m 5 -c 1 10.77.2.2
ping -c 1 -W .5 10.77.1.1 10.77.2.2
ping -F 0x54321 -c 1 fd77:2::2
ping -I lo -I 10.77.1.2 -c 1 -W .3 10.77.2.2
ping -I lo -I fd77:1::2 -c 1 -W .3 fd77:2::2
ping -I far -I fd78::1 -W .3 -c 1 fd77:2::2
ping -I far -c 1 -W .3 10.78.1.4
ping -I far -c 1 -W .3 fd78:1::4
ping -t 0 -c 1 -W .3 fd77:1::1
ping -B -c 1 fd77:2::2
ping -r -c 1 fd77:1::1
ping -C -c 1 10.77.2.2
ping -M dont -c 1 -s 3000 10.77.1.1
ping -s 65507 -c 1 10.77.1.1
ping -s 0 -c 1 10.77.2.2
ping -e 7 -c 1 fd77:2::2
ping -L -c 1 -W .3 ff02::1%far
ping -A -c 3 10.77.2.2
ping -D -c 1 10.77.2.2
ping -U -c 1 fd77:2::2
ping -I far -c 1 10.77.2.2
ping -Q 8 -t 9 -c 1 10.77.2.2
ping -f -c 5 10.77.1.1
"""

NOBODY = """
ping -c 1 10.77.2.2
ping -c 1 fd77:2::2
ping -4 -c 1 10.77.2.2
ping -6 -c 1 fd77:2::2
ping -c 1 localhost
ping -q -c 1 10.77.2.2
ping -v -c 1 10.77.2.2
ping -V
ping -c 0 10.77.2.2
ping -c 1 nosuchname.invalid
"""

BLOCKS = {
    "basics": (BASICS, EVERYBODY),
    "names": (NAMES, EVERYBODY),
    "usage": (USAGE, EVERYBODY),
    "numbers": (NUMBERS, EVERYBODY),
    "sizes": (SIZES, EVERYBODY),
    "path MTU": (PATH_MTU, EVERYBODY),
    "TTL and TOS": (TTL_AND_TOS, EVERYBODY),
    "rejected": (REJECTED, EVERYBODY),
    "reported": (REPORTED, ("user",)),
    "odd": (ODD, ("user",)),
    "display": (DISPLAY, EVERYBODY),
    "sources": (SOURCES, EVERYBODY),
    "idents": (IDENTS, EVERYBODY),
    "labels": (LABELS, ("user",)),
    "queries": (QUERIES, EVERYBODY),
    "pace": (PACE, EVERYBODY),
    "groups": (GROUPS, EVERYBODY),
    "options": (OPTIONS, EVERYBODY),
    "signals": (SIGNALS, ("user",)),
    "terminal": (TERMINAL, ("user",)),
    "raw": (RAW, ("raw",)),
    "nobody": (NOBODY, ("nobody",)),
}
"""Title -> command lines, and who runs them (`runs.WHO`)."""


def all_lines() -> dict[tuple[str, str], Line]:
    """(Text, who) -> the line."""
    return {
        (text, who): parsed(text, who)
        for block, everybody in BLOCKS.values()
        for text in block.strip().splitlines()
        for who in everybody
    }


def parsed(text: str, who: str) -> Line:
    """The line a text stands for."""
    command, _, circumstances = text.partition(" [")
    words = shlex.split(command)
    at = next(place for place, word in enumerate(words) if "=" not in word)
    parts = circumstances.removesuffix("]").split(", ") if circumstances else []
    return Line(
        tuple(words[at + 1 :]),
        who,
        program=words[at],
        signals=tuple(_signal(part) for part in parts if part.startswith("SIG")),
        ignores=tuple(name for part in parts if part.startswith("ignoring ") for name in part.split()[1:]),
        environment=dict(word.split("=", 1) for word in words[:at]),
        on_terminal="on a terminal" in parts,
    )


def _signal(text: str) -> Signal:
    parsed = re.fullmatch(r"(SIG\w+) after (?:(\d+) )?(.+)", text)
    assert parsed is not None, text
    name, times, after = parsed.groups()
    return Signal(name, "" if after == "requests" else after, int(times or 1))
