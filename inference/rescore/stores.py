"""What lies behind URLs: opened by fsspec, told apart from what it was before, and named without its secrets."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from inspect import signature
from typing import Any, BinaryIO

from leadline.datasets.scan import LeadlineError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_SIGNED = re.compile(r"(?i)[?&](?:(?:x-[a-z]+-)?signature|sig|(?:access_)?token|api_?key|password)=")
_SIGNATURE = re.compile(
    r"(?i)(?<=[?&])(?:x-(?:amz|goog|oss)-[^=&]*|awsaccesskeyid|googleaccessid|signature|sig|se|sp|sv|sr|st|expires|"
    r"key-pair-id|policy|(?:access_)?token|api_?key|password)=[^&]*&?"
)
"""Parts of a query that let whoever knows them read an object, and what changes with every new signature."""


def public(text: str) -> str:
    """A URL, or a text with URLs in it, without passwords and signatures: for messages, rows and exports."""
    return _URL.sub(lambda found: _without_secrets(found[0]), text) if "://" in text else text


def _without_secrets(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, at, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if at and (":" in login or scheme.lower() in ("http", "https", "ftp", "sftp")):  # abfs://container@account is none
        rest = rest[len(login) + 1 :]
    if scheme.lower() in ("http", "https") and _SIGNED.search(rest):
        path, _, query = rest.partition("?")
        kept = _SIGNATURE.sub("", f"?{query}")
        rest = path + (kept.rstrip("&") if len(kept) > 1 else "")
    return f"{scheme}://{rest}"


def reason(error: BaseException) -> str:
    """What a store's error says, in one line without secrets."""
    return public(" ".join(str(error).split()))[:200] or type(error).__name__


def open_binary(place: str) -> BinaryIO:
    """A file, local or behind a URL, open for reading.

    Raises:
        OSError: as `open` does, and for whatever a store raises.
        LeadlineError: no fsspec, or it knows no such URL.
    """
    if "://" not in place:
        return open(place, "rb")
    fs, path = store(place)
    try:
        opened: BinaryIO = fs.open(path, "rb")
    except OSError:
        raise
    except Exception as error:  # botocore, aiohttp and others raise types that share no base
        raise OSError(reason(error)) from error
    return opened


def stamp_of(place: str) -> str:
    """Size and time of a file, or size and tag of an object: another stamp is another content; empty: unknown.

    Raises:
        LeadlineError: it does not exist, or cannot be reached.
    """
    if "://" not in place:
        try:
            status = os.stat(place)
        except (OSError, ValueError) as error:
            raise LeadlineError(f"{place}: does not exist; check the spelling of the source") from error
        return f"{status.st_size}:{status.st_mtime_ns}"
    fs, path = store(place)
    try:
        return version(fs.info(path))
    except FileNotFoundError as error:
        raise LeadlineError(f"{public(place)}: does not exist; check bucket and prefix") from error
    except Exception as error:
        raise LeadlineError(
            f"{public(place)}: cannot be reached ({reason(error)}); check address, rights and connection"
        ) from error


def version(found: dict[str, Any]) -> str:
    """The stamp of an object from what a store says of it; empty where it says neither tag nor time."""
    tag = found.get("ETag") or found.get("etag") or changed(found) or ""
    return f"{int(found.get('size') or 0)}:{tag}"[:200] if tag else ""


def changed(found: dict[str, Any]) -> Any:
    """When an object was written, as its store says it: a `datetime`, seconds, a text, or `None`."""
    return found.get("LastModified") or found.get("last_modified") or found.get("mtime") or found.get("created")


@lru_cache(maxsize=8)
def _fsspec(scheme: str) -> Any:
    try:
        import fsspec

        # A file system that wants a host or a repository would fail half made, and again, aloud, when it is removed.
        signature(fsspec.get_filesystem_class(scheme).__init__).bind(None)
        return fsspec.filesystem(scheme, skip_instance_cache=False, use_listings_cache=False)
    except ImportError as error:
        raise LeadlineError(
            f"{scheme}://: needs a package that is not installed ({error}); pip install 'leadline[cluster]'"
        ) from error
    except Exception as error:  # those that want a host, a repository or an archive say so by errors of many types
        raise LeadlineError(
            f"{scheme}://: {reason(error)}; give a folder, an archive, a list, or a URL like s3://"
        ) from error


def store(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it.

    Raises:
        LeadlineError: no fsspec, or it knows no such URL.
    """
    fs = _fsspec(url.partition("://")[0])
    return fs, fs._strip_protocol(url)
