"""NPY arrays: (rows, columns, 2), (2, rows, columns) or (rows, columns); never pickles."""

from __future__ import annotations

import io

import numpy as np

from leadline.datasets.formats.decoded import Decoded, Unreadable, check_shape, split_channels

_REMEDY = "save the array with numpy.save as uint16 (65535 = open beam) or float32 (1 = open beam)"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def decode(data: bytes) -> Decoded:
    """Decode the bytes of an NPY file.

    Raises:
        Unreadable: pickled objects, another dtype or shape, too large, or cut.
    """
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as error:
        raise Unreadable("is an NPY file with a damaged or unusual header", _REMEDY) from error
    if dtype.hasobject or dtype.names is not None:
        raise Unreadable("holds Python objects, which are never loaded", _REMEDY)
    if (dtype.kind, dtype.itemsize) not in {("u", 1), ("u", 2), ("f", 4), ("f", 8)}:
        raise Unreadable(f"holds {dtype.name} values", _REMEDY)
    check_shape(shape)
    count, start = int(np.prod(shape, dtype=np.int64)), stream.tell()
    if len(data) - start < count * dtype.itemsize:
        raise Unreadable("is cut: pixels that it declares lie beyond its end", "copy the file again from its source")
    values = np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C")
    return Decoded(split_channels(values), float(2 ** (8 * dtype.itemsize) - 1) if dtype.kind == "u" else 1.0)
