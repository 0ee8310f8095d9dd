"""The shape of a network, as model files and checkpoints carry it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from leadline.datasets.materials import catalogue
from leadline.datasets.scan import Kind

REFERENCES = ("polyethylene", "aluminium", "steel", "lead")
"""Materials of the catalogue whose energy contrasts span those of all goods: the network estimates their curves."""


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network, and what it assumes of the scanner.

    Attributes:
        kind: kind of scanner.
        families: names in channel order.
        watched: those on the watch list.
        pool: side of the pixel blocks whose transmissions are averaged first.
        floor: least transmission that is told from none.
        ratio_period: change of (a_low - a_high) / a_high over which the periodic features turn once;
            a few times the contrast between neighbouring families.
        thin: attenuation that is added below the ratio, so that air has none.
        knots: high-energy attenuations between which a scanner's contrast curves are straight.
        contrasts: least and greatest contrast that its histogram tells apart.
        widths: channels of the four encoder stages; multiples of 16 waste nothing on a CPU.
        blocks: residual blocks of each stage; 0 = a single convolution.
        pixel_width: channels of each level's pixel features.
        pixel_hidden: channels of the layer before them.
        decoder: channels of the decoder; its finest level has as many as the first stage.
        embedding: length of the embedding.
        suspicion: channels of the two layers between the cells' features and their suspicion.
        coarser: block sides of further networks of this shape, multiples of `pool`, see `models.ensemble`.
    """

    kind: Kind = "parcel"
    families: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    pool: int = 2
    floor: float = 3e-4
    ratio_period: float = 0.8
    thin: float = 0.02
    knots: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0)
    contrasts: tuple[float, float] = (-0.2, 2.6)
    widths: tuple[int, int, int, int] = (32, 48, 96, 128)
    blocks: tuple[int, int, int, int] = (0, 1, 2, 1)
    pixel_width: int = 16
    pixel_hidden: int = 64
    decoder: int = 48
    embedding: int = 64
    suspicion: tuple[int, int] = (32, 32)
    coarser: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if any(pool % self.pool or pool <= self.pool for pool in self.coarser):
            raise ValueError(f"is {list(self.coarser)}; it should be multiples of pool, {self.pool}")

    @property
    def stride(self) -> int:
        """Side of an output cell, pixels."""
        return 2 * self.pool

    def to_dict(self) -> dict:
        """Plain values, as a checkpoint keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The reverse of `to_dict`; lists become tuples."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


def config_for(kind: Kind, **changes: object) -> NetworkConfig:
    """The configuration of the released network of a scanner kind, over the families of the catalogue."""
    base: dict = {"kind": kind, "families": catalogue().names, "watched": catalogue().watched}
    if kind == "parcel":  # a parcel has 25 ms, a container 100
        base |= {"blocks": (0, 1, 1, 1)}
    if kind == "container":
        base |= {"pool": 4, "floor": 1e-4, "ratio_period": 0.2, "thin": 0.05, "suspicion": (64, 32)}
        base |= {"knots": (0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0), "contrasts": (-0.05, 0.6)}
    return NetworkConfig(**(base | changes))
