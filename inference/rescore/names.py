"""What names say: which are scans, which are archives, and where in `archive.tar!member` the archive ends."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import PurePosixPath

from leadline.datasets.formats.files import SUFFIXES

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
_HALF = re.compile(r"_(high|low)\Z", re.IGNORECASE)
_MEMBER = re.compile(rf"(.*?(?:{'|'.join(map(re.escape, ARCHIVES))}))!(.+)", re.IGNORECASE | re.DOTALL)


def is_archive(source: str) -> bool:
    """Whether a source is a tar or zip archive, by its name."""
    return source.lower().endswith(ARCHIVES) and not os.path.isdir(source)


def is_zip(source: str) -> bool:
    """Whether an archive is a zip archive, by its name."""
    return source.lower().endswith(".zip")


def scan_name(name: str) -> bool:
    """Whether a member of an archive is a scan, by its name."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def archive_name(name: str) -> bool:
    """Whether a member of an archive is an archive itself, by its name."""
    return name.lower().endswith(ARCHIVES) and not PurePosixPath(name.replace("\\", "/")).name.startswith(".")


def half_of(name: str) -> str:
    """`"high"` or `"low"` of a name that makes a scan one half of a pair, empty for others."""
    found = _HALF.search(PurePosixPath(name).stem)
    return found[1].lower() if found else ""


def split_member(place: str) -> tuple[str, str]:
    """Archive and member of `archive.tar!member`, both empty for anything else."""
    found = _MEMBER.fullmatch(place)
    return (found[1], found[2]) if found else ("", "")


def date_of(seconds: float) -> str | None:
    """The date of a time since 1970, ISO 8601; `None` for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return None
