"""`leadline palette`: fit a palette for a vendor's 8-bit colours."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from leadline.datasets.formats.palette import Palette

_MOST_PIXELS = 200_000
_MOST_FILES = 200


@click.command(short_help="Fit a palette for a vendor's colours.")
@click.option(
    "--pairs",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Pictures with their 16-bit scans: CSV with the columns picture, scan; or a folder of COMPASS-XP.",
)
@click.option(
    "--pictures", metavar="DIR", type=click.Path(path_type=Path), help="Pictures of benign goods, colours alone."
)
@click.option(
    "--scanner", type=click.Choice(["parcel", "container"]), default="parcel", show_default=True, help="Kind."
)
@click.option("--scenes", type=click.IntRange(20, 2000), default=120, show_default=True, help="Scans to simulate.")
@click.option("--out", metavar="FILE", required=True, type=click.Path(path_type=Path), help="JSON file to write.")
def palette(pairs: Path | None, pictures: Path | None, scanner: str, scenes: int, out: Path) -> None:
    """Fit a palette for a vendor's 8-bit colours, for `leadline screen --pseudocolour --palette FILE`.

    From pairs of picture and scan everything is fitted. From pictures of benign goods alone only the vendor's hues
    are: how dark a thickness is shown stays as uncertain as it is among vendors, and the palette says so.

    \b
    Examples:
      leadline palette --pairs pairs.csv --out vendor.json
      leadline palette --pictures benign/ --out vendor.json
    """
    from leadline.datasets.formats.palette_cover import fit_covering
    from leadline.datasets.formats.palette_fit import colours_of
    from leadline.datasets.scan import FileError

    if (pairs is None) == (pictures is None):
        raise click.UsageError("give either --pairs PATH or --pictures DIR")
    if out.suffix.lower() != ".json":
        raise FileError(out, "is no name of a JSON file", "let --out end in .json")
    if not os.access(out.parent, os.W_OK):
        raise FileError(out.parent, "is no folder that can be written to", "choose another --out")
    name = out.stem
    try:
        if pairs is not None:
            pixels, truth, scans = pairs_of(pairs)
            fitted = fit_covering(
                name, f"fitted on {pairs.name}: pictures with their 16-bit scans", pixels, truth, scans
            )
        else:
            from leadline.datasets.simulator.vendor import simulated_pairs

            colours = colours_of(pixels_of(pictures or Path()))
            pixels, truth = simulated_pairs(scanner, scenes, 99, colours)  # type: ignore[arg-type]
            title = f"the colours of {(pictures or Path()).name}; fitted on simulated scans shown in them"
            fitted = fit_covering(
                name, title, pixels, truth, np.arange(len(truth[0])) * scenes // len(truth[0]), colours
            )
    except ValueError as error:
        raise FileError(pairs or pictures or out, str(error), "give more pictures with goods in them") from error
    _write(out, fitted)
    middle = len(fitted.attenuation) // 2
    click.echo(
        f"{out}: at half brightness orange means -ln T = {fitted.attenuation[middle, 0]:.2f} ± "
        f"{fitted.attenuation_sd[middle, 0]:.2f} and blue an energy ratio of {fitted.ratio[middle, -2]:.2f} ± "
        f"{fitted.ratio_sd[middle, -2]:.2f}; "
        f"next: leadline screen bags/ --scanner {scanner} --pseudocolour --palette {out}"
    )


def pixels_of(folder: Path) -> npt.NDArray[np.uint8]:
    """Pixels of the colour pictures of a folder, at most 200,000; uint8 (3, N).

    Raises:
        FileError: there are none.
    """
    from leadline.datasets.formats.files import find_scans
    from leadline.datasets.scan import FileError

    files = find_scans([folder], pseudocolour=True)[:_MOST_FILES]
    parts = [p for p in (_picture(file) for file in files) if p is not None]
    if not parts:
        raise FileError(folder, "holds no 8-bit colour pictures", "name a folder of PNG or JPEG pictures")
    each = max(1, _MOST_PIXELS // len(parts))
    rng = np.random.default_rng(0)
    return np.concatenate([_drawn(p.reshape(3, -1), each, rng) for p in parts], axis=1)


def pairs_of(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Pixels of pictures and the transmissions of their scans: uint8 (3, N), float32 (2, N); (N,) number of the pair.

    Raises:
        FileError: the list or a file of it cannot be used, or a picture and its scan differ in size.
    """
    from leadline.datasets.formats import read_scan
    from leadline.datasets.scan import FileError

    pixels, truths = [], []
    rng = np.random.default_rng(0)
    listed = _listed(path)
    each = max(1000, _MOST_PIXELS // len(listed))
    for picture, scan in listed[:_MOST_FILES]:
        colours = _picture(picture)
        if colours is None:
            raise FileError(picture, "is no 8-bit colour picture", f"correct {path}")
        if isinstance(scan, tuple):
            light = np.stack([_normalised(part) for part in scan])
        else:
            light = read_scan(scan).transmission
        if colours.shape[1:] != light.shape[1:]:
            size = f"{colours.shape[1]} x {colours.shape[2]} pixels, its scan {light.shape[1]} x {light.shape[2]}"
            raise FileError(picture, f"has {size}", "export both at one size")
        flat = np.concatenate([colours.reshape(3, -1).astype(np.float32), light.reshape(2, -1)])
        drawn = _drawn(flat, each, rng)
        pixels.append(drawn[:3].astype(np.uint8))
        truths.append(drawn[3:])
    scans = np.repeat(np.arange(len(truths)), [t.shape[1] for t in truths])
    return np.concatenate(pixels, axis=1), np.concatenate(truths, axis=1).astype(np.float32), scans


def _listed(path: Path) -> list[tuple[Path, Path | tuple[Path, Path]]]:
    """Pairs of picture and scan: of a CSV, or of a folder as COMPASS-XP has it (Colour, High, Low)."""
    from leadline.datasets.scan import FileError

    pairs: list[tuple[Path, Path | tuple[Path, Path]]] = []
    if path.is_dir():
        for picture in sorted((path / "Colour").glob("*")):
            parts = [next(iter(sorted((path / name).glob(f"{picture.stem}.*"))), None) for name in ("High", "Low")]
            if parts[0] and parts[1]:
                pairs.append((picture, (parts[0], parts[1])))
        if not pairs:
            raise FileError(path, "has no folders Colour, High and Low with files of the same names", "name a CSV file")
        return pairs
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read ({error})", "name a CSV file or a folder") from error
    if not rows or not {"picture", "scan"} <= set(rows[0]):
        raise FileError(path, "has no columns picture and scan", "write a header and a line a pair")
    if short := [k for k, row in enumerate(rows, start=2) if not row["picture"] or not row["scan"]]:
        raise FileError(path, f"line {short[0]} lacks its picture or its scan", "name both on every line")
    return [(path.parent / row["picture"], path.parent / row["scan"]) for row in rows]


def _normalised(path: Path) -> npt.NDArray[np.float32]:
    """A 16-bit picture of one channel as transmission: its brightest half per cent is the open beam."""
    from leadline.datasets.scan import FileError

    image = _decoded(path)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise FileError(path, "is no 16-bit grey picture", "name pictures of the raw channels")
    return (image / max(float(np.quantile(image[::3, ::3], 0.995)), 1.0)).astype(np.float32)


def _picture(path: Path) -> npt.NDArray[np.uint8] | None:
    """A colour picture, uint8 (3, rows, columns), red, green, blue; `None` if it is none."""
    image = _decoded(path)
    if image is None or image.dtype != np.uint8 or image.ndim != 3:
        return None
    return np.ascontiguousarray(image[..., 2::-1].transpose(2, 0, 1))


def _decoded(path: Path) -> npt.NDArray | None:
    """Values of a picture as stored; `None` if it is none.

    Raises:
        FileError: there is no such file, or it cannot be read.
    """
    import cv2

    from leadline.datasets.scan import FileError

    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})", "check its path and permissions") from error
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None


def _drawn(values: npt.NDArray, most: int, rng: np.random.Generator) -> npt.NDArray:
    if values.shape[1] <= most:
        return values
    return values[:, np.sort(rng.choice(values.shape[1], most, replace=False))]


def _write(out: Path, fitted: Palette) -> None:
    from leadline.datasets.scan import FileError

    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        partial.write_text(json.dumps(fitted.as_dict()) + "\n", "utf-8")
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(out, f"cannot be written ({error.strerror})", "choose another --out") from error
