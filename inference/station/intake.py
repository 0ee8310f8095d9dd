"""Taking scans in: from bytes or files to a copy of the station's own and a place in the queue."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadline.datasets.declarations import hs_code
from leadline.datasets.scan import KINDS, LeadlineError
from leadline.inference.station.files import Files, clean_name, identifier, stored_name
from leadline.inference.station.store import Store

CONTAINER = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{3}[UJZujz])[ _-]?([0-9]{6})[ _-]?([0-9])(?![0-9])")
"""A container number: owner, category, serial number, check digit (ISO 6346)."""

LONGEST_TEXT = 500


@dataclass(frozen=True)
class Papers:
    """What is declared of a scan.

    Attributes:
        container: container or parcel number.
        hs_code: Harmonized System code, digits.
        description: the goods in words.
        scanner: kind of scanner, for files that do not say it.
    """

    container: str | None = None
    hs_code: str | None = None
    description: str | None = None
    scanner: str | None = None

    @classmethod
    def checked(cls, values: dict[str, Any], where: str = "declaration") -> Papers:
        """Papers from what a person or machine gave.

        Raises:
            LeadlineError: a value has the wrong type, is too long, or is no HS code or kind of scanner.
        """
        found: dict[str, str | None] = {}
        for key in ("container", "hs_code", "description", "scanner"):
            value = values.get(key)
            if value is not None and not isinstance(value, str):
                raise LeadlineError(f"{where}: {key} must be text; correct it")
            text = " ".join("".join(c if c.isprintable() else " " for c in value or "").split())
            text = text.encode("utf-8", "replace").decode("utf-8")
            if len(text) > LONGEST_TEXT:
                raise LeadlineError(f"{where}: {key} has more than {LONGEST_TEXT} characters; shorten it")
            found[key] = text or None
        if found["hs_code"]:
            found["hs_code"] = hs_code(found["hs_code"])
        if found["scanner"] and found["scanner"] not in KINDS:
            raise LeadlineError(f"{where}: scanner must be {' or '.join(KINDS)}; correct it")
        if found["container"] and (number := CONTAINER.search(found["container"])):
            found["container"] = "".join(number.groups()).upper()
        return cls(**found)


class Intake:
    """Puts scans into the queue, each only once.

    Args:
        store: the database.
        files: where copies are kept.
        scanner: kind of scanner of files that do not say it, unless their papers do.
    """

    def __init__(self, store: Store, files: Files, scanner: str | None = None) -> None:
        self.store, self.files, self.scanner = store, files, scanner

    def take(
        self,
        parts: Sequence[tuple[str, bytes]],
        papers: Papers,
        source: str,
        seen: tuple[str, str] | None = None,
    ) -> tuple[str, bool]:
        """Take one scan in.

        Args:
            parts: name and bytes of its file, or of the two files of a pair, the high energy first.
            papers: what is declared.
            source: who or what brought it.
            seen: path and mark of the watched file.

        Returns:
            The scan's identifier, and whether it is new (the same content under the same papers is not).

        Raises:
            LeadlineError: it cannot be kept.
        """
        digest = hashlib.sha256()
        for _, data in parts:
            digest.update(data)
        sha256 = digest.hexdigest()
        name = clean_name(parts[0][0])
        container = papers.container
        if container is None and (number := CONTAINER.search(name)):
            container = "".join(number.groups()).upper()
        scanner = papers.scanner or self.scanner
        scan = identifier(sha256, container, papers.hs_code, papers.description, scanner)
        if self.store.get(scan) is None:
            halves = ("",) if len(parts) == 1 else ("_high", "_low")
            kept = [(stored_name(given, half), data) for (given, data), half in zip(parts, halves, strict=True)]
            self.files.keep(scan, kept)
        new = self.store.add(
            {
                "id": scan,
                "sha256": sha256,
                "name": name,
                "source": source,
                "container": container,
                "hs_code": papers.hs_code,
                "description": papers.description,
                "kind_given": scanner,
            },
            seen,
        )
        return scan, new


def sidecar(path: Path) -> Papers:
    """Papers of a watched file: `NAME.json` beside `NAME.tif`, or none.

    Raises:
        LeadlineError: the file is there but cannot be used.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return Papers()
    try:
        values = json.loads(beside.read_bytes()[:100_000])
    except (OSError, ValueError) as error:
        raise LeadlineError(f"{beside}: is no JSON ({error}); correct it") from error
    if not isinstance(values, dict):
        raise LeadlineError(f"{beside}: must hold one object with hs_code, description, container; correct it")
    return Papers.checked(values, str(beside))
