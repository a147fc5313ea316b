"""What a batch run and its processes tell each other over a stream socket, and how it is framed.

Each message is eight bytes, its length as a number in network byte order, and as many bytes: a pickled pair of kind
and content. Both ends are the same program, and nobody else has the socket.

    kind        from      content
    BEGIN       the run   plan, settings of the prober, whether it is held
    ITEM        the run   a TargetBlock, or a Target that no block may hold
    NO_MORE     the run   None: that was the last one
    HOLD        the run   whether targets may not begin for now
    WANTED      process   None: one more item is of use, or the end of them
    HAPPENED    process   the time on the monotonic clock; and what happened, each as: number of the course or 0,
                          whether the course has ended, record or Replies
    ENDED       process   None: everything is told
    FAILED      process   the exception that ended it
"""

from __future__ import annotations

import pickle
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN, ITEM, NO_MORE, HOLD, WANTED, HAPPENED, ENDED, FAILED = range(8)
ITEMS_AHEAD = 2
"""Items a process has beyond the one at work, so that it need not wait for the next."""
LENGTH = Struct(">Q")


def frame(kind: int, content: object = None) -> bytes:
    """One message."""
    message = pickle.dumps((kind, content), pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(message)) + message


def take_messages(received: bytearray) -> list[tuple[int, Any]]:
    """Kinds and contents of the messages that are complete; what is left of the bytes begins another one."""
    messages, start = [], 0
    while len(received) - start >= LENGTH.size:
        begin = start + LENGTH.size
        end = begin + LENGTH.unpack_from(received, start)[0]
        if len(received) < end:
            break
        messages.append(_unpickle(received[begin:end]))
        start = end
    del received[:start]
    return messages


def _unpickle(message: bytes | bytearray) -> tuple[int, Any]:
    kind, content = pickle.loads(message)
    return kind, content
