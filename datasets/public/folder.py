"""Files of a set: which pictures there are, and labels read from text, JSON and XML that nobody vouches for."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from leadline.datasets.formats.files import SUFFIXES
from leadline.datasets.public.scans import SetError, Unfit

LARGEST_XML = 8_000_000
"""Most bytes of one picture's XML labels."""
LARGEST_JSON = 4_000_000_000
"""Most bytes of one JSON table, unpacked; the largest of the public sets have some hundred million."""
_AGAIN = "copy it again from the set's source"
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


class Folder:
    """A set's folder.

    Args:
        root: the folder that the user named.
        table: file of labels, where the user named that in place of its folder.
        classes: takes the names of classes that its labels list, those without a sample too.
    """

    def __init__(self, root: Path, table: Path | None = None, classes: set[str] | None = None) -> None:
        self.root, self.table = root, table
        self.classes = set() if classes is None else classes

    @cached_property
    def pictures(self) -> dict[str, list[Path]]:
        """Pictures anywhere in the folder by their lower-case name, and by their name without the ending."""
        found: dict[str, list[Path]] = {}
        for path in self.files(SUFFIXES):
            for key in dict.fromkeys((path.name.lower(), path.stem.lower())):
                found.setdefault(key, []).append(path)
        return found

    def files(self, suffixes: Iterable[str], under: Path | None = None) -> Iterator[Path]:
        """Files with one of some endings (lower case, with the dot), sorted by folder and name; no hidden ones.

        Links to folders are followed, each folder is gone through once.
        """
        wanted = tuple(suffixes)
        seen: set[str] = set()
        for top, folders, names in os.walk(under or self.root, followlinks=True):
            real = os.path.realpath(top)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            for name in sorted(names):
                if name.lower().endswith(wanted) and not name.startswith("."):
                    yield Path(top, name)

    def need(self, *names: str) -> Path:
        """The first of some files or folders that is there.

        Raises:
            Unfit: none is.
        """
        for name in names:
            if (self.root / name).exists():
                return self.root / name
        raise Unfit(f"has no {' or '.join(names)}")

    def inside(self, source: Path, *names: str) -> list[Path]:
        """Paths under the folder for names out of labels; those of files come first.

        Links in the folder are the user's own and may lead anywhere; names in labels may not.

        Raises:
            SetError: a name leads out of the folder.
        """
        root, paths = os.path.abspath(self.root), []
        for name in names:
            path = self.root / name.replace("\\", "/")
            if not os.path.abspath(path).startswith(root + os.sep):
                raise SetError(source, f"names {_short(name)}, which lies outside the folder", "correct the label")
            paths.append(path)
        return sorted(paths, key=lambda path: not os.path.isfile(path))

    def picture(self, source: Path, name: str) -> Path | None:
        """The picture that labels mean by a name, wherever in the folder it lies.

        A name that occurs in several folders means the one nearest to the labels.

        Args:
            source: file of the labels.
            name: with or without an ending, with or without folders, of either slash.
        """
        clean = name.replace("\\", "/").strip()
        base = clean.rpartition("/")[2]
        found = self.pictures.get(base.lower()) or self.pictures.get(Path(base).stem.lower(), [])
        if len(found) > 1:
            found = [path for path in found if path.as_posix().endswith("/" + clean)] or found
        return max(found, key=lambda path: len(os.path.commonpath([path, source])), default=None)


def split_of(path: Path, root: Path) -> str | None:
    """The split that a file's folders or its own name tell, such as `"train"` of `train/0001.jpg`."""
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    for part in inside.parts:
        for word in part.lower().replace("-", "_").replace(".", "_").split("_"):
            known = _SPLITS.get(word.rstrip("0123456789"))
            if known:
                return known
    return None


def read_text(path: Path, most: int | None = None) -> str:
    """Text in UTF-8, with or without a byte-order mark.

    Raises:
        SetError: cannot be read, is no text, or has more than `most` bytes.
    """
    return _decoded(path, _bytes(path, most))


def read_json(path: Path) -> Any:
    """Values of a JSON file, of one packed with gzip too.

    Raises:
        SetError: cannot be read, is broken, nested too deeply, or too large.
    """
    data = _bytes(path, LARGEST_JSON)
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(LARGEST_JSON + 1)
            if len(data) > LARGEST_JSON:
                raise SetError(path, f"unpacks to more than {LARGEST_JSON / 1e9:.0f} GB", _AGAIN)
        return json.loads(_decoded(path, data))
    except (ValueError, RecursionError) as error:
        raise SetError(path, f"is broken JSON ({_short(str(error), 80)})", _AGAIN) from error
    except (OSError, EOFError) as error:  # gzip
        raise SetError(path, f"is a damaged gzip file ({error})", _AGAIN) from error


def read_xml(path: Path) -> Element:
    """Root element of an XML file; entities and document types are refused, not expanded.

    Raises:
        SetError: cannot be read, is broken, declares entities, or is too large.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    data = _bytes(path, LARGEST_XML)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
        return root
    except DefusedXmlException as error:
        raise SetError(
            path, "declares a document type or entities, which labels do not need", "do not use this file"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise SetError(path, f"is broken XML ({error})", _AGAIN) from error


def read_table(path: Path, columns: Iterable[str], *, tabs: bool = False) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, as (line, cells by lower-case column).

    Args:
        path: the file.
        columns: which it must have.
        tabs: cells are parted by tabs and never quoted, instead of commas.

    Raises:
        SetError: cannot be read, is no CSV, or lacks one of `columns`.
    """
    stream = io.StringIO(read_text(path), newline="")
    if tabs:
        reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(stream, strict=True)
    try:
        given = [name.strip().lower() for name in reader.fieldnames or ()]
        missing = [name for name in columns if name not in given]
        if missing:
            raise SetError(
                path,
                f"has no column {' or '.join(missing)} (found: {_short(', '.join(given))})",
                "add it to the header",
            )
        for cells in reader:
            if None in cells:
                raise SetError(
                    path, f"line {reader.line_num} has more cells than the header", "quote cells with commas"
                )
            values = {name.strip().lower(): (value or "").strip() for name, value in cells.items()}
            if any(values.values()):
                yield reader.line_num, values
    except csv.Error as error:
        raise SetError(path, f"is not CSV (line {reader.line_num}: {error})", "quote cells with commas") from error


def number(value: object) -> float:
    """A finite number from a label.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{_short(repr(value))} is no number")
    try:
        found = float(value)
    except OverflowError as error:
        raise ValueError("a number of that size is none") from error
    if not math.isfinite(found):
        raise ValueError(f"{found} is no number")
    return found


def _bytes(path: Path, most: int | None) -> bytes:
    try:
        if most is not None and path.stat().st_size > most:
            raise SetError(path, f"has more than {most / 1e6:.0f} MB, too many for labels", _AGAIN)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SetError(path, "does not exist", _AGAIN) from error
    except (OSError, ValueError) as error:
        raise SetError(path, f"cannot be read ({getattr(error, 'strerror', None) or error})", _AGAIN) from error


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetError(path, f"is no text in UTF-8 (byte {error.start})", _AGAIN) from error


def _short(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
