"""Writing the canonical file: two 16-bit pages, high energy and low, with a JSON description."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import tifffile

from leadline.datasets.formats import description
from leadline.datasets.scan import LeadlineError, Scan

_STRIP_ROWS = 64  # strips of about 180 kB: fast to inflate, and several at once on several cores


def write_scan(scan: Scan, path: str | Path) -> None:
    """Write a scan as a canonical TIFF.

    Page 0 is the high energy, page 1 the low; uint16, linear, 65535 = open beam, deflate.
    Transmissions outside 0..1 are clipped, the rest is rounded to 1/65535. The same scan gives
    the same bytes. The file appears whole or not at all.

    Raises:
        LeadlineError: the file cannot be written.
        ValueError: a transmission is NaN.
    """
    path = Path(path)
    if np.isnan(scan.transmission).any():
        raise ValueError("a transmission is NaN")
    pages = np.rint(np.clip(scan.transmission, 0, 1) * np.float32(65535)).astype(np.uint16)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for page, text in zip(pages, (description.write(scan), None), strict=True):
            writer.write(
                page,
                photometric="minisblack",
                compression="zlib",
                rowsperstrip=_STRIP_ROWS,
                description=text,
                metadata=None,
                software="leadline",
            )
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(stream.getvalue())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise LeadlineError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
