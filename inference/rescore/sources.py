"""Where scans come from: a folder, a list, a manifest, an archive, an object store; one item after the other.

Nothing here holds the whole archive in memory: folders and stores are walked, lists streamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from leadline.datasets.formats.files import SUFFIXES, is_scan, pair_of
from leadline.datasets.scan import LeadlineError
from leadline.inference.rescore import archives
from leadline.inference.rescore.item import Item, Part
from leadline.inference.rescore.lists import Listed, is_list, read_list
from leadline.inference.rescore.manifest import Manifest
from leadline.inference.rescore.names import date_of, is_archive
from leadline.inference.rescore.stores import changed, public, reason, stamp_of, store, version

LISTING = 50_000
"""Names of a folder that are sorted together; a folder of more is taken in portions."""


def items(source: str, *, pseudocolour: bool = False) -> Iterator[Item]:
    """The scans of a source, in an order that is the same for the same source.

    Args:
        source: a folder, a scan, a tar or zip archive (perhaps by URL), a manifest (`.csv`, `.parquet`), a list
            (`.txt`, a path or URL a line), or a URL of an object store, such as `s3://bucket/prefix`.
        pseudocolour: take 8-bit pictures in folders too.

    Raises:
        LeadlineError: there is no such source, or it cannot be read at all.
    """
    remote = "://" in source
    if is_list(source):
        if not remote and not os.path.exists(source):
            raise LeadlineError(f"{source}: does not exist; check the spelling of the source")
        yield from _listed(read_list(source), source, pseudocolour)
    elif is_archive(source):
        yield from archives.members(source, stamp_of(source))
    elif remote:
        yield from _objects(source)
    elif os.path.isdir(source):
        yield from _folder(Path(source), pseudocolour)
    elif os.path.lexists(source):
        yield file_item(Path(source))
    else:
        raise LeadlineError(f"{source}: does not exist; check the spelling of the source")


def estimate(source: str) -> int | None:
    """About how many scans a source has, `None` where only reading it would tell; a folder may be above the truth.

    Raises:
        Exception: it cannot be counted; whoever reads it will say why.
    """
    if is_list(source):
        return sum(1 for _ in read_list(source))
    if "://" in source or not os.path.isdir(source):
        return archives.count(source)
    total = 0
    for folder, _, names in os.walk(source):
        for name in names:
            if name.startswith("."):
                continue
            path = os.path.join(folder, name)
            if is_archive(path) and os.path.isfile(path):
                inside = archives.count(path)
                if inside is None:
                    return None
                total += inside
            else:
                total += _ending(name) in SUFFIXES
    return total


def declare(found: Iterable[Item], manifest: Manifest | None) -> Iterator[Item]:
    """Items with what a manifest declares of them, where it does."""
    for item in found:
        line = manifest and manifest.find(item.place, item.path)
        yield replace(item, declaration=line.declaration, taken=line.taken or item.taken) if line else item


def file_item(path: Path) -> Item:
    """The item of one file; that it has vanished shows when it is read."""
    try:
        status = path.stat()
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        other = next((half for half in pair_of(path) if half is not None and half != path), None)
        if other is not None:
            beside = other.stat()
            stamp += f"+{beside.st_size}:{beside.st_mtime_ns}"
    except (OSError, ValueError):
        return Item(str(path), path=str(path))
    return Item(str(path), stamp, str(path), taken=date_of(status.st_mtime))


def _listed(lines: Iterable[Listed], source: str, pseudocolour: bool) -> Iterator[Item]:
    folder = Path(source).parent
    for line in lines:
        if line.error is not None:
            place = public(str(folder / line.path) if line.path and "://" not in line.path else line.path)
            item = Item(place or f"{public(source)} line {line.line}", error=f"{line.error} (line {line.line})")
        elif "://" in line.path:
            item = _listed_object(line.path)
        else:
            beside = folder / line.path
            path = beside if os.path.exists(beside) or not os.path.exists(line.path) else Path(line.path)
            item = file_item(_first(path))
        yield replace(item, declaration=line.declaration, taken=line.taken or item.taken)


def _listed_object(url: str) -> Item:
    try:
        fs, inside = store(url)
        return _object(url, fs.info(inside))
    except Exception as error:  # each store has its own
        return Item(public(url), error=f"cannot be found ({reason(error)[:100]})")


def _first(path: Path) -> Path:
    return pair_of(path)[0] or path


def _folder(top: Path, pseudocolour: bool) -> Iterator[Item]:
    """Walk a folder. Links to folders elsewhere are followed once; those that lead back, never."""
    real_top = os.path.realpath(top)
    entered = [real_top]
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        deeper: list[Path] = []
        try:
            with os.scandir(folder) as entries:
                while portion := sorted(islice(entries, LISTING), key=lambda e: e.name):
                    for entry in portion:
                        if entry.name.startswith("."):
                            continue
                        if entry.is_dir(follow_symlinks=True) if not _dangling(entry) else False:
                            real = os.path.realpath(entry.path) if entry.is_symlink() or len(entered) > 1 else ""
                            if entry.is_symlink() and not _leads_back(real, entered):
                                entered.append(real)
                                deeper.append(Path(entry.path))
                            elif not entry.is_symlink() and real not in entered:
                                deeper.append(Path(entry.path))
                        else:
                            yield from _file(Path(entry.path), pseudocolour)
        except OSError as error:
            yield Item(str(folder), error=f"is a folder that cannot be read ({error.strerror or error})")
        waiting += reversed(deeper)


def _dangling(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError:  # vanished, or a link into nothing or into itself
        return True
    return False


def _leads_back(real: str, entered: list[str]) -> bool:
    """Whether a folder was entered already, will be, or holds the first of them, the source itself."""
    path = Path(real)
    return Path(entered[0]).is_relative_to(path) or any(path.is_relative_to(e) for e in entered)


def _file(path: Path, pseudocolour: bool) -> Iterator[Item]:
    high, low = pair_of(path)
    if low == path and high is not None:  # comes with its other half
        return
    if is_archive(str(path)):
        yield from _archive_in_folder(path)
    elif is_scan(path, pseudocolour):
        yield file_item(path)


def _archive_in_folder(path: Path) -> Iterator[Item]:
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        return
    try:
        stamp = stamp_of(str(path))
    except LeadlineError:
        yield Item(str(path), error="is an archive that is not there any more, or a link to none")
    else:
        yield from archives.members(str(path), stamp)


def _objects(url: str) -> Iterator[Item]:
    fs, top = store(url)
    scheme = url.partition("://")[0]
    try:
        if fs.isfile(top):
            yield _object(url, fs.info(top))
            return
        if not fs.exists(top):
            raise LeadlineError(f"{public(url)}: does not exist; check bucket and prefix")
        waiting = [top]
        while waiting:  # fsspec's own `walk` passes over what it cannot list without a word
            folder = waiting.pop()
            deeper: list[str] = []
            pairs = archives.Pairs()
            try:
                found = sorted(fs.ls(folder, detail=True), key=lambda one: str(one["name"]))
            except (PermissionError, FileNotFoundError) as error:
                if folder == top:
                    raise
                yield Item(_url(scheme, folder), error=f"is a folder that cannot be listed ({reason(error)})")
                continue
            for one in found:
                path = one["name"].rstrip("/")
                name = PurePosixPath(path).name
                if name.startswith(".") or path == folder.rstrip("/"):
                    continue
                if one["type"] == "directory":
                    deeper.append(path)
                elif is_archive(name):
                    yield from archives.members(_url(scheme, one["name"]), version(one))
                elif _ending(name) in SUFFIXES:
                    yield from pairs.put(_object(_url(scheme, one["name"]), one))
            yield from pairs.rest()
            waiting += reversed(deeper)
    except LeadlineError:
        raise
    except Exception as error:  # botocore, aiohttp and others raise types that share no base
        raise LeadlineError(
            f"{public(url)}: cannot be listed ({reason(error)}); check address, rights and connection"
        ) from error


def _object(url: str, found: dict[str, Any]) -> Item:
    modified = changed(found)
    if isinstance(modified, int | float):
        taken = date_of(modified)
    else:
        taken = modified.date().isoformat() if isinstance(modified, datetime) else None
    place = public(url)
    part = Part(PurePosixPath(place).name, url, "object", size=int(found.get("size") or 0))
    return Item(place, version(found), parts=(part,), taken=taken)


def _url(scheme: str, path: str) -> str:
    """The URL of a path as a store's listing has it."""
    return f"{scheme}://{path if scheme == 'file' else path.lstrip('/')}"


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
