"""Augmentation of pooled scans: what a scanner or a packer could have done otherwise.

The only module that knows albumentations. All images are float32 in transmission; the areal densities
move with them. Simulated scanners vary already, so the changes are slight.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks an outside host at import otherwise
import albumentations as A

from leadline.datasets.scan import Kind
from leadline.models.features import BRIGHTEST

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AugmentConfig:
    """How much is changed.

    Attributes:
        canvas: rows and columns, pooled pixels, that every scan is cut or padded to.
        upside_down: share of scans turned over; containers have a floor.
        warp: share of scans that are turned and scaled.
        degrees: greatest turn.
        scale: least and greatest scale.
        blind: share of scans with blind columns.
        response: standard deviation of the exponent on transmission (its detector's response).
        split: standard deviation of the difference of the two channels' exponents.
        gain: standard deviation of the error of the open beam.
    """

    canvas: tuple[int, int]
    upside_down: float = 0.5
    warp: float = 0.35
    degrees: float = 6.0
    scale: tuple[float, float] = (0.8, 1.2)
    blind: float = 0.05
    response: float = 0.01
    split: float = 0.003
    gain: float = 0.004


def augment_config(kind: Kind, canvas: tuple[int, int]) -> AugmentConfig:
    """The released settings of a scanner kind."""
    if kind == "container":
        return AugmentConfig(canvas, upside_down=0.1, degrees=1.5, scale=(0.85, 1.15))
    return AugmentConfig(canvas)


class Augment:
    """Changes a scan and its areal densities alike.

    Args:
        config: how much.
        seed: of the draws; the same seed gives the same sequence of changes.
    """

    def __init__(self, config: AugmentConfig, seed: int) -> None:
        self.config = config
        self.random = np.random.default_rng([seed, 0xA6])
        rows, columns = config.canvas
        border = {"border_mode": cv2.BORDER_CONSTANT, "fill": 1.0, "fill_mask": 0.0}
        self.geometry = A.Compose(
            [
                A.HorizontalFlip(p=0.5),
                A.VerticalFlip(p=config.upside_down),
                A.Affine(
                    scale=config.scale, rotate=(-config.degrees, config.degrees), p=config.warp,
                    interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_LINEAR, **border,
                ),
                A.PadIfNeeded(rows, columns, position="random", **border),
                A.RandomCrop(rows, columns),
                A.CoarseDropout(
                    num_holes_range=(1, 3), hole_height_range=(1.0, 1.0), hole_width_range=(1, 2), fill=0.0,
                    p=config.blind,
                ),
            ],
            seed=seed,
        )  # fmt: skip

    def __call__(self, transmission: Array, areal: Array) -> tuple[Array, Array]:
        """One changed scan.

        Args:
            transmission: (2, h, w), pooled.
            areal: (F, h, w), g/cm2, pooled.

        Returns:
            (2, rows, columns) and (F, rows, columns) of the canvas.
        """
        done = self.geometry(
            image=np.ascontiguousarray(transmission.transpose(1, 2, 0)),
            mask=np.ascontiguousarray(areal.transpose(1, 2, 0), dtype=np.float32),
        )
        image, mask = done["image"].transpose(2, 0, 1), done["mask"].transpose(2, 0, 1)
        return self._respond(image), np.maximum(mask, 0)

    def _respond(self, t: Array) -> Array:
        c = self.config
        if self.random.random() < 0.5:
            return np.ascontiguousarray(t, dtype=np.float32)
        common, apart = self.random.normal(1, c.response), self.random.normal(0, c.split)
        power = np.array([common + apart, common - apart])[:, None, None]
        gain = self.random.normal(1, c.gain, (2, 1, 1))
        return np.clip(np.maximum(t, 0) ** power * gain, 0, BRIGHTEST).astype(np.float32)


def fit_canvas(transmission: Array, areal: Array, canvas: tuple[int, int]) -> tuple[Array, Array]:
    """Cut or pad in the middle to a canvas, without any change; for validation."""
    rows, columns = canvas
    border = {"border_mode": cv2.BORDER_CONSTANT, "fill": 1.0, "fill_mask": 0.0}
    compose = A.Compose([A.PadIfNeeded(rows, columns, **border), A.CenterCrop(rows, columns)])
    done = compose(
        image=np.ascontiguousarray(transmission.transpose(1, 2, 0)),
        mask=np.ascontiguousarray(areal.transpose(1, 2, 0), dtype=np.float32),
    )
    return (
        np.ascontiguousarray(done["image"].transpose(2, 0, 1), dtype=np.float32),
        np.ascontiguousarray(done["mask"].transpose(2, 0, 1), dtype=np.float32),
    )
