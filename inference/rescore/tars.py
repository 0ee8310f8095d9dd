"""Members of tar archives, one after the other. What a damaged or hostile header says is an error, never silence."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from leadline.datasets.formats.decoded import LARGEST_FILE
from leadline.inference.rescore.item import Item, Part
from leadline.inference.rescore.names import archive_name, date_of, half_of, scan_name
from leadline.inference.rescore.spool import Spool
from leadline.inference.rescore.stores import open_binary, public

LARGEST_HEADER = 1_000_000
"""Bytes of a long name or of attributes; tarfile reads them whole."""

LARGEST_MEMBER = 1 << 40
"""Bytes; `tarfile` passes over what a compressed archive claims to hold in small steps, even behind its end."""

STEP = 1 << 16
"""Bytes of a compressed archive that are read at once; unpacked they may be a thousand times as many."""

EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip


NESTED = "is an archive inside an archive, which is not opened; unpack it beside the others"


class Strict(tarfile.TarInfo):
    """A header that raises where `tarfile` takes a damaged one for the archive's end, or goes back or in circles."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """A header from its 512 bytes."""
        header = super().frombuf(buf, encoding, errors)
        if not 0 <= header.size <= LARGEST_MEMBER:
            raise tarfile.HeaderError(f"a member of {header.size} bytes")
        if header.type in EXTENDED and header.size > LARGEST_HEADER:
            raise tarfile.HeaderError(f"a header of {header.size / 1e6:.0f} MB")
        return header

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """The next header.

        Raises:
            EOFHeaderError: the archive ends properly, by a block of zeros.
            ReadError: it does not go on as it must.
        """
        try:
            header = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError("it ends without an end mark") from error
        except (tarfile.HeaderError, LookupError, ArithmeticError) as error:
            raise tarfile.ReadError(str(error) or "bad header") from error
        # Attributes may give another size than was looked at above.
        if not 0 <= header.size <= LARGEST_MEMBER or tarfile_.offset <= header.offset:
            raise tarfile.ReadError(f"a member of {header.size} bytes")
        return header


def read_tar(source: str, stamp: str) -> Iterator[Item]:
    """The scans of a tar: of an uncompressed one only where they lie, of a compressed one their bytes as well.

    Raises:
        TarError, OSError, LookupError, ArithmeticError, ValueError: it is damaged, or cannot be read.
        LeadlineError: there is no room for the bytes.
    """
    is_plain = source.lower().endswith(".tar")
    spool, halves = Spool(), Spool()  # what may wait long keeps no room from being free again but its own
    with (
        open_binary(source) as stream,
        tarfile.open(fileobj=stream, mode="r:" if is_plain else "r|*", tarinfo=Strict, bufsize=STEP) as archive,
    ):
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else every header of the archive stays in memory
            if not member.isreg() or not (scan_name(member.name) or archive_name(member.name)):
                continue
            item = Item(
                f"{public(source)}!{member.name}",
                stamp and f"{stamp}:{member.offset}",
                taken=date_of(member.mtime),
                offset=member.offset,
            )
            part = Part(member.name, source, "slice", member.offset_data, member.size)
            if not scan_name(member.name):
                yield replace(item, error=NESTED)
            elif member.size > LARGEST_FILE or member.issparse():
                what = "is stored sparsely" if member.issparse() else f"has {member.size / 1e9:.1f} GB"
                yield replace(item, error=f"{what}, which no scan has")
            elif is_plain:
                yield replace(item, parts=(part,))
            else:
                content = archive.extractfile(member)
                data = (halves if half_of(member.name) else spool).put(content) if content is not None else b""
                yield replace(item, parts=(replace(part, how="bytes", data=data, offset=0),))
