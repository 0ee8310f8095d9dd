"""One folder a class: the name of the folder is the label of every scan in it."""

from __future__ import annotations

from collections.abc import Iterator

from leadline.datasets.formats.files import SUFFIXES, pair_of
from leadline.datasets.public.folder import Folder, split_of
from leadline.datasets.public.form_voc import source_of
from leadline.datasets.public.scans import Found, Report

NOTHING = frozenset({"none", "benign", "clear", "negative", "normal"})
"""Folders whose scans show none of the classes, lower case."""


def read(folder: Folder, report: Report) -> Iterator[Found]:
    """Scans in folders, of a pair `X_high`, `X_low` the high one; what lies beside the folders is left out.

    The class is the folder that holds the scan. A folder above it called train, val or test is the split.
    """
    for path in folder.files(SUFFIXES):
        if path.parent == folder.root:
            continue
        high, low = pair_of(path)
        if path == low and high is not None:
            continue
        name = path.parent.name
        labels = () if name.lower() in NOTHING else (name,)
        inside = path.parent.parent
        yield Found(path, labels=labels, split=split_of(inside, folder.root), group=f"{name}/{source_of(path)}")
