"""PNG (16-bit values, or an 8-bit picture) and JPEG (always an 8-bit picture)."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np

from leadline.datasets.formats.decoded import Decoded, Unreadable, check_size, split_channels

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_CUT = "copy the file again from its source"


def decode_png(data: bytes) -> Decoded:
    """Decode the bytes of a PNG file: one grey plane (8 or 16 bits), or the three planes of 8-bit colours.

    Raises:
        Unreadable: cut, damaged, too large, or 16-bit colours.
    """
    columns, rows, bits, colour = _check_png(data)
    check_size(rows, columns)
    if bits == 16 and colour != 0:
        raise Unreadable("holds 16-bit colours, not measured values", "save each energy as a grey 16-bit PNG")
    values = imagecodecs.png_decode(data)
    if values.ndim == 3 and values.shape[-1] in (2, 4):  # transparency says nothing of the cargo
        values = values[..., :-1]
    return Decoded(split_channels(values), 65535.0 if values.dtype == np.uint16 else 255.0)


def decode_jpeg(data: bytes) -> Decoded:
    """Decode the bytes of a JPEG file: one or three planes of 8 bits.

    Raises:
        Unreadable: cut, too large, or neither grey nor RGB.
    """
    check_size(*jpeg_size(data))
    if b"\xff\xd9" not in data[-1024:]:
        raise Unreadable("is a cut JPEG: its end is missing", _CUT)
    return Decoded(split_channels(imagecodecs.jpeg8_decode(data)), 255.0)


def png_bits(head: bytes) -> int | None:
    """Bits a sample from the first 25 bytes of a PNG file, or `None` if they are not there."""
    return head[24] if head.startswith(PNG_MAGIC) and len(head) > 24 else None


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Rows and columns that a JPEG, lossless JPEG or JPEG-LS stream declares.

    Raises:
        Unreadable: no frame header.
    """
    at = 2
    while at + 9 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            break
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill byte, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise Unreadable("is a JPEG without a frame: cut or damaged", _CUT)


def _check_png(data: bytes) -> tuple[int, int, int, int]:
    """Columns, rows, bits and colour type of a PNG whose chunks are all there and sound.

    Decoders fill what is missing; the checksums tell.
    """
    header: tuple[int, int, int, int] | None = None
    at = len(PNG_MAGIC)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise Unreadable("is a damaged PNG: a checksum does not match", _CUT)
        if header is None:
            if name != b"IHDR" or length != 13:
                break
            header = struct.unpack_from(">IIBB", data, at + 8)
        if name == b"IEND":
            return header
        at = end + 4
    raise Unreadable("is a cut PNG: its end is missing", _CUT)
