"""Public data sets, read as their authors publish them, from a folder that the user has. Nothing is downloaded."""

from leadline.datasets.public.opening import open_set
from leadline.datasets.public.registry import SETS, PublicSet
from leadline.datasets.public.scans import Box, LabelledScan, SetError

__all__ = ["SETS", "Box", "LabelledScan", "PublicSet", "SetError", "open_set"]
