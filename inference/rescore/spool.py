"""Members of compressed archives on their way to a worker: on the disk rather than in the main process's memory."""

from __future__ import annotations

import os
import tempfile
from typing import IO, Any

from leadline.datasets.scan import LeadlineError

SEGMENT = 64_000_000
"""A file takes members until it holds so many bytes."""

CHUNK = 1_000_000


def temporary() -> str:
    """The folder of temporary files, for messages; it may be that there is none."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return "the folder of temporary files"


class _Segment:
    """A temporary file without a name: whatever ends the process, nothing is left behind."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="leadline-")  # noqa: SIM115  # closed by the last member
        self.end = 0

    def __del__(self) -> None:
        if hasattr(self, "file"):
            self.file.close()


class Spooled:
    """Bytes in a spool. Pickled they are the bytes themselves, for a worker, and the spool stays where it is."""

    def __init__(self, segment: _Segment, offset: int, size: int) -> None:
        self._segment, self._offset, self._size = segment, offset, size

    def __bytes__(self) -> bytes:
        return os.pread(self._segment.file.fileno(), self._size, self._offset)

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(self),)


class Spool:
    """Takes members one after the other; the room of a file is free again once nobody holds a member in it."""

    def __init__(self) -> None:
        self._segment: _Segment | None = None

    def put(self, content: IO[bytes]) -> Spooled:
        """Take all of a stream.

        Raises:
            LeadlineError: there is no room.
            Exception: what reading the stream raises.
        """
        if self._segment is None or self._segment.end >= SEGMENT:
            self._segment = None  # before the next one, so that the two do not need room at once
            self._segment = self._kept(_Segment)
        segment = self._segment
        offset = segment.end
        while data := content.read(CHUNK):
            self._kept(lambda data=data: segment.file.write(data))
            segment.end += len(data)
        self._kept(segment.file.flush)
        return Spooled(segment, offset, segment.end - offset)

    @staticmethod
    def _kept(work: Any) -> Any:
        try:
            return work()
        except OSError as error:
            raise LeadlineError(
                f"{temporary()}: no room for a member of a compressed archive ({error.strerror or error}); "
                "make room there, or set TMPDIR"
            ) from error
