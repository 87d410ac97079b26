"""Waits for what another process writes into a pipe. It needs no ``select``, which a small Python may lack."""

from __future__ import annotations

import os
import time
from typing import Optional

#: How long to wait before looking again, in seconds.
_PAUSE = 0.001


def read_within(descriptor: int, seconds: float) -> Optional[bytes]:
    """What was written, 64 KiB at most; empty where all writers have ended; ``None``: nothing came in that time."""
    os.set_blocking(descriptor, False)
    until = time.monotonic() + seconds
    while True:
        try:
            return os.read(descriptor, 65536)
        except BlockingIOError:
            if time.monotonic() >= until:
                return None
            time.sleep(_PAUSE)
