"""A small PDF writer: A4 pages drawn at 150 dpi, with the words beneath them so that they can be searched.

Each page is one JPEG (PDF 1.4, ISO 32000-1, filter DCTDecode), drawn with the letters that OpenCV carries,
Chinese included: no font needs to be installed or embedded. What Latin-1 can spell stands beneath the
picture as invisible text (rendering mode 3), for searching and copying.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from leadline.inference import lettering
from leadline.inference.lettering import BOLD, PLAIN, Colour, Picture
from leadline.inference.station.pictures import jpeg

WIDE, HIGH, MARGIN = 1240, 1754, 90
"""A4 at 150 dpi."""

POINTS = 72 / 150
INK: Colour = (29, 25, 22)
DIM: Colour = (80, 70, 61)
LINE: Colour = (214, 206, 200)
TEXT = 19


class Document:
    """A document that grows downwards, page by page.

    Args:
        title: for the viewer's window.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._pages: list[Picture] = []
        self._words: list[list[tuple[int, int, int, str]]] = []
        self._y = HIGH

    def heading(self, text: str, size: int = 24) -> None:
        """A heading; it is not left alone at the foot of a page."""
        self._room(size + 90)
        self._y += 16
        self._write(text, MARGIN, size, BOLD)
        self._y += lettering.height(size) + 4

    def banner(self, left: str, right: str, colour: str) -> None:
        """The verdict, white on its colour (`#rrggbb`)."""
        self._room(110)
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        page = self._pages[-1]
        cv2.rectangle(page, (MARGIN, self._y), (WIDE - MARGIN, self._y + 76), (blue, green, red), -1)
        self._write(left, MARGIN + 18, 34, BOLD, (255, 255, 255), 16)
        self._write(right, WIDE - MARGIN - 18 - lettering.width(right, TEXT), TEXT, PLAIN, (255, 255, 255), 27)
        self._y += 92

    def list(self, sentences: Sequence[str]) -> None:
        """Sentences with bullets."""
        for sentence in sentences:
            for i, part in enumerate(lettering.wrapped(sentence, WIDE - 2 * MARGIN - 24, TEXT)):
                self._room(30)
                if i == 0:
                    self._write("•", MARGIN, TEXT)
                self._write(part, MARGIN + 24, TEXT)
                self._y += lettering.height(TEXT) + 2

    def table(self, rows: Sequence[Sequence[str]], shares: Sequence[float]) -> None:
        """Rows of cells; `shares` of the width sum to 1."""
        widths = [round(share * (WIDE - 2 * MARGIN)) for share in shares]
        for row in rows:
            cells = [lettering.wrapped(c, w - 14, TEXT - 1) or [""] for c, w in zip(row, widths, strict=True)]
            lines = max(map(len, cells))
            step = lettering.height(TEXT - 1)
            self._room(lines * step + 8)
            left = MARGIN
            for n, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
                for i, part in enumerate(cell):
                    self._write(part, left, TEXT - 1, PLAIN, DIM if n == 0 else INK, i * step)
                left += wide
            self._y += lines * step + 4
            cv2.line(self._pages[-1], (MARGIN, self._y), (WIDE - MARGIN, self._y), LINE, 1)
            self._y += 4

    def picture(self, picture: Picture, caption: str) -> None:
        """A picture over the whole width, or as high as a third of a page, with a frame and a caption."""
        zoom = min((WIDE - 2 * MARGIN) / picture.shape[1], 0.33 * HIGH / picture.shape[0])
        size = (round(picture.shape[1] * zoom), round(picture.shape[0] * zoom))
        self._room(size[1] + 60)
        self._y += 12
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        self._pages[-1][self._y : self._y + size[1], MARGIN : MARGIN + size[0]] = small
        corner = (MARGIN + size[0], self._y + size[1])
        cv2.rectangle(self._pages[-1], (MARGIN - 1, self._y - 1), corner, LINE, 1)
        self._y += size[1] + 4
        self._write(caption, MARGIN, TEXT - 2, PLAIN, DIM)
        self._y += lettering.height(TEXT - 2) + 6

    def file(self) -> bytes:
        """The whole file."""
        count = len(self._pages)
        for number, page in enumerate(self._pages, 1):
            foot = f"{number} / {count}"
            lettering.write(page, foot, WIDE - MARGIN - lettering.width(foot, 16), HIGH - 60, 16, DIM)
        kids = " ".join(f"{5 + 3 * i} 0 R" for i in range(count))
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            b"<< /Title (" + _escaped(self.title) + b") /Producer (leadline) >>",
        ]
        for i, page in enumerate(self._pages):
            box = f"0 0 {WIDE * POINTS:.1f} {HIGH * POINTS:.1f}"
            objects.append(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [{box}] /Contents {6 + 3 * i} 0 R /Resources "
                f"<< /Font << /F 3 0 R >> /XObject << /I {7 + 3 * i} 0 R >> >> >>".encode()
            )
            objects.append(_stream(b"", self._content(i)))
            image = (
                f"/Type /XObject /Subtype /Image /Width {WIDE} /Height {HIGH} /ColorSpace /DeviceRGB "
                "/BitsPerComponent 8 /Filter /DCTDecode "
            )
            objects.append(_stream(image.encode(), jpeg(page, 90)))
        out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        places = []
        for number, content in enumerate(objects, 1):
            places.append(len(out))
            out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
        start = len(out)
        out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
        out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
        out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
        return bytes(out)

    def _content(self, page: int) -> bytes:
        parts = [b"BT 3 Tr"]
        for left, base, size, text in self._words[page]:
            shown = _escaped(text)
            if shown.strip():
                place = f"/F {size * POINTS:.1f} Tf 1 0 0 1 {left * POINTS:.1f} {(HIGH - base) * POINTS:.1f} Tm ("
                parts.append(place.encode() + shown + b") Tj")
        draw = f"q {WIDE * POINTS:.1f} 0 0 {HIGH * POINTS:.1f} 0 0 cm /I Do Q".encode()
        return b"\n".join([*parts, b"ET", draw])

    def _room(self, pixels: int) -> None:
        if self._y + pixels > HIGH - MARGIN:
            self._pages.append(np.full((HIGH, WIDE, 3), 255, np.uint8))
            self._words.append([])
            self._y = MARGIN

    def _write(self, text: str, left: int, size: int, weight: int = PLAIN, colour: Colour = INK, down: int = 0) -> None:
        lettering.write(self._pages[-1], text, left, self._y + down, size, colour, weight)
        self._words[-1].append((left, self._y + down + size, size, text))


def _escaped(text: str) -> bytes:
    """Text as a PDF string in WinAnsi; what that cannot spell is left out."""
    data = text.encode("cp1252", "ignore")
    return (
        data.replace(b"\\", b"\\\\")
        .replace(b"(", b"\\(")
        .replace(b")", b"\\)")
        .replace(b"\n", b" ")
        .replace(b"\r", b" ")
    )


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<< " + entries + f"/Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"
