"""What was made, read as one file without being one: new bytes, then the original from an offset on."""

from __future__ import annotations

import io
import os
from typing import BinaryIO


class Joined(io.RawIOBase):
    """`head`, and then what `original` holds from `offset` on. Closing it leaves the original open."""

    name = ""  # which pydicom asks for, and finds no file under

    def __init__(self, head: bytes, original: BinaryIO, offset: int) -> None:
        self.head, self.fileno_of_tail, self.offset = memoryview(head), original.fileno(), offset
        self.size = len(head) + max(0, os.fstat(self.fileno_of_tail).st_size - offset)
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(0, start + offset)
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer) -> int:
        here = self.head[self.position : self.position + len(buffer)]
        if here:
            buffer[: len(here)] = here
            count = len(here)
        else:
            where = self.offset + self.position - len(self.head)
            count = os.preadv(self.fileno_of_tail, [buffer], where)
        self.position += count
        return count


def joined(head: bytes, original: BinaryIO, offset: int) -> BinaryIO:
    return io.BufferedReader(Joined(head, original, offset), 1 << 16)
