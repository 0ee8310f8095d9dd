"""Scenes on disk: built once, scanned anew with another scanner and other noise every time."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import imagecodecs
import numpy as np

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Declaration, FileError, Kind
from leadline.datasets.simulator.scene import Scene
from leadline.datasets.simulator.simulate import Split, build_scene

VERSION = 4  # raise when scenes of one (seed, index) change


class SceneCache:
    """A folder of scenes, filled on first use.

    Areal densities are kept as float16 (relative error below 0.05 %), compressed with Zstandard.
    Writing is atomic, so workers may share a folder.

    Args:
        folder: made if missing.
        kind, seed, split: which endless set of scenes.
    """

    def __init__(self, folder: Path, kind: Kind, seed: int, split: Split = "train") -> None:
        self.kind, self.seed, self.split = kind, seed, split
        text = catalogue().text  # scenes depend on the watch list
        own = f"-{hashlib.sha256(text.encode()).hexdigest()[:12]}" if text else ""
        self.folder = folder / f"v{VERSION}-{kind}-{split}-{seed}{own}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, index: int) -> Scene:
        """The scene of this number, from disk or built and kept.

        Raises:
            FileError: it cannot be kept; what is there stays as it is.
        """
        path = self.folder / f"{index:07d}.scene"
        try:
            return _unpack(path.read_bytes())
        except FileNotFoundError:
            scene = build_scene(self.kind, self.seed, index, self.split)
            scratch = path.with_suffix(f".{os.getpid()}")
            try:
                scratch.write_bytes(_pack(scene))
                scratch.replace(path)
            except OSError as error:
                scratch.unlink(missing_ok=True)
                raise FileError(
                    path, f"the scene cannot be kept ({error.strerror or error})", "free some space on that disk"
                ) from error
            return scene


def _pack(scene: Scene) -> bytes:
    declaration = asdict(scene.declaration) if scene.declaration else None
    head = json.dumps(
        {
            "kind": scene.kind, "pixel_mm": scene.pixel_mm, "materials": scene.materials, "window": scene.window,
            "scenario": scene.scenario, "declaration": declaration, "shape": scene.areal.shape,
        }
    ).encode()  # fmt: skip
    arrays = np.concatenate([scene.areal.astype(np.float16).ravel(), scene.change.astype(np.float16).ravel()])
    return len(head).to_bytes(4, "little") + head + imagecodecs.zstd_encode(arrays.tobytes(), level=1)


def _unpack(data: bytes) -> Scene:
    size = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + size])
    arrays = np.frombuffer(imagecodecs.zstd_decode(data[4 + size :]), np.float16).astype(np.float32)
    m, rows, columns = head["shape"]
    y0, y1, x0, x1 = head["window"]
    split = m * rows * columns
    declaration = Declaration(**head["declaration"]) if head["declaration"] else None
    return Scene(
        head["kind"], head["pixel_mm"], tuple(head["materials"]), arrays[:split].reshape(m, rows, columns),
        (y0, y1, x0, x1), arrays[split:].reshape(m, y1 - y0, x1 - x0), head["scenario"], declaration,
    )  # fmt: skip
