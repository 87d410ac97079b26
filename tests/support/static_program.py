"""A program that needs nothing but the kernel: a whole ELF file of a few bytes of code, as man 5 elf has it."""

from __future__ import annotations

import io
import os
import struct
import tarfile

#: What the program ends with.
EXIT_CODE = 7

#: Machine -> its number in an ELF header, and the instructions of ``exit(7)``.
_CODES = {
    "x86_64": (62, bytes.fromhex("bf07000000b83c0000000f05")),  # mov edi, 7; mov eax, 60; syscall
    "aarch64": (183, bytes.fromhex("e00080d2a80b80d2010000d4")),  # mov x0, 7; mov x8, 93; svc 0
}

_AT, _HEADERS = 0x400000, 120


def static_program() -> bytes | None:
    """The file; ``None`` on a machine whose instructions nobody has written down here."""
    if os.uname().machine not in _CODES:
        return None
    machine, code = _CODES[os.uname().machine]
    size = _HEADERS + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _AT + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _AT, _AT, size, size, 0x1000)
    return head + segment + code


def file_system(name: str, content: bytes) -> bytes:
    """An archive with this program alone, of which an engine makes an image."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return memory.getvalue()
