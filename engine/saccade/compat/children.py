"""Frames for the processes that a script forks: the camera stays with its device, whose threads no child has."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = tuple[bool, NDArray[np.uint8] | None]
"""As `awscam.getLastFrame` gives it."""

_HEAD = struct.Struct("<cIII")
_PICTURE, _NONE, _OVER = b"p", b"n", b"o"
_ASK = b"?"


class ParentsCamera:
    """The child's end: asks the parent for one frame after the other.

    over : there will be no more.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.over = False

    def next(self) -> NDArray[np.uint8] | None:
        """The next frame, uint8 (H, W, 3), BGR; None where there is none."""
        with self._lock:
            try:
                self._connection.sendall(_ASK)
                kind, *shape = _HEAD.unpack(self._received(_HEAD.size))
                data = self._received(int(np.prod(shape)))
            except OSError:
                # The parent has gone.
                self.over = True
                return None
        self.over = kind == _OVER
        return np.frombuffer(data, np.uint8).reshape(shape) if kind == _PICTURE else None

    def _received(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self._connection.recv_into(view)
            if not got:
                raise ConnectionResetError
            view = view[got:]
        return data


def serve(frame: Callable[[], Frame], told: Callable[[ParentsCamera], None]) -> None:
    """From now on each child by fork asks this process for its frames.

    frame : gives the next; SystemExit where there will be no more. told : called in each child with its end.
    """
    forks: Any = threading.local()

    def before() -> None:
        forks.ours, forks.theirs = socket.socketpair()

    def in_parent() -> None:
        forks.theirs.close()
        threading.Thread(target=_answer, args=(frame, forks.ours), name="saccade-child", daemon=True).start()

    def in_child() -> None:
        forks.ours.close()
        told(ParentsCamera(forks.theirs))

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _answer(frame: Callable[[], Frame], connection: socket.socket) -> None:
    """Give frames as long as the child asks for them."""
    with connection, contextlib.suppress(OSError):
        while connection.recv(1):
            kind, picture = _NONE, None
            try:
                picture = frame()[1]
            except SystemExit:
                kind = _OVER
            if picture is None:
                connection.sendall(_HEAD.pack(kind, 0, 0, 0))
            else:
                connection.sendall(_HEAD.pack(_PICTURE, *picture.shape))
                connection.sendall(picture.data.cast("B"))
