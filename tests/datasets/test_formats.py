"""Reading: a table of file x depth x byte order x polarity x compression -> exact transmission."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from leadline.datasets.formats import read_scan, write_scan
from leadline.datasets.scan import Scan, ScanError, Scanner

ROWS, COLUMNS = 40, 70


def stored(seed: int = 0, full: int = 65535) -> np.ndarray:
    """uint16 (2, rows, columns), with both ends of the range at known places: [0, 0, 0] = full, [1, 0, 0] = 0."""
    values = np.random.default_rng(seed).integers(0, full + 1, (2, ROWS, COLUMNS), dtype=np.uint16)
    values[0, 0, :2] = full, 0
    values[1, 0, :2] = 0, full
    return values


def transmission(values: np.ndarray, full: int = 65535, inverted: bool = False) -> np.ndarray:
    values = full - values.astype(np.int64) if inverted else values.astype(np.int64)
    return (values / full).astype(np.float32)


def tiff(
    path: Path, *arrays: np.ndarray, text: str | None = None, big: bool = False, order: str = "<", **options
) -> Path:
    with tifffile.TiffWriter(path, bigtiff=big, byteorder=order) as writer:
        for i, array in enumerate(arrays):
            options.setdefault("photometric", "minisblack")
            writer.write(array, description=text if i == 0 else None, metadata=None, **options)
    return path


COMPRESSIONS = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"tile": (16, 32), "compression": "zlib"},
]


@pytest.mark.parametrize("inverted", [False, True], ids=["black0", "white0"])
@pytest.mark.parametrize("big", [False, True], ids=["tiff", "bigtiff"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", COMPRESSIONS, ids=lambda o: "-".join(map(str, o.values())) or "none")
@pytest.mark.parametrize("layout", ["pages", "samples", "planes", "one"])
def test_tiff_uint16(tmp_path, layout, options, order, big, inverted):
    values = stored()
    options = options | {"photometric": "miniswhite" if inverted else "minisblack"}
    match layout:
        case "pages":
            arrays = [values[0], values[1]]
        case "samples":
            arrays, options = [np.moveaxis(values, 0, -1).copy()], options | {"planarconfig": "contig"}
        case "planes":
            arrays, options = [values], options | {"planarconfig": "separate"}
        case "one":
            arrays, values = [values[0]], values[[0, 0]]
    scan = read_scan(tiff(tmp_path / "a.tif", *arrays, big=big, order=order, **options))
    np.testing.assert_array_equal(scan.transmission, transmission(values, inverted=inverted))
    assert scan.fidelity == ("single" if layout == "one" else "dual")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}], ids=["none", "deflate"])
def test_tiff_floats(tmp_path, dtype, order, options):
    values = np.random.default_rng(1).uniform(0, 1, (2, ROWS, COLUMNS)).astype(dtype)
    scan = read_scan(tiff(tmp_path / "a.tif", *values, order=order, **options))
    np.testing.assert_array_equal(scan.transmission, values.astype(np.float32))


def test_tiff_of_twelve_bits_is_scaled_by_twelve(tmp_path):
    values = stored(full=4095)
    path = tiff(tmp_path / "a.tif", values[0], values[1])
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            where = page.tags["BitsPerSample"].valueoffset
            data[where : where + 2] = (12).to_bytes(2, "little")
    # Twelve-bit samples are packed: write the packed strips where the sixteen-bit ones were.
    with tifffile.TiffFile(path) as file:
        for page, plane in zip(file.pages, values, strict=True):
            packed = imagecodecs.packints_encode(plane, 12) if hasattr(imagecodecs, "packints_encode") else None
            if packed is None:
                pytest.skip("this imagecodecs packs no 12-bit samples")
            data[page.dataoffsets[0] : page.dataoffsets[0] + len(packed)] = packed
    path.write_bytes(data)
    np.testing.assert_array_equal(read_scan(path).transmission, transmission(values, 4095))


def test_tiff_of_an_array_saved_row_by_row(tmp_path):
    values = stored()
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(values, 0, -1))  # 40 pages of 70 x 2
    np.testing.assert_array_equal(read_scan(tmp_path / "a.tif").transmission, transmission(values))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize("layout", ["last", "first", "one", "fortran"])
def test_npy(tmp_path, layout, dtype, order):
    values = stored().astype(order + dtype)
    if dtype != "u2":
        values /= 65535
    expected = (values / (65535 if dtype == "u2" else 1)).astype(np.float32)
    array = {
        "last": np.moveaxis(values, 0, -1),
        "first": values,
        "one": values[0],
        "fortran": np.asfortranarray(np.moveaxis(values, 0, -1)),
    }[layout]
    np.save(tmp_path / "a.npy", array)
    scan = read_scan(tmp_path / "a.npy")
    np.testing.assert_array_equal(scan.transmission, expected[[0, 0]] if layout == "one" else expected)
    assert scan.fidelity == ("single" if layout == "one" else "dual")


def test_float_transmissions_slightly_outside_are_noise(tmp_path):
    values = np.full((2, ROWS, COLUMNS), 0.5, np.float32)
    values[:, 0, 0], values[:, 0, 1] = 1.04, -0.01
    np.save(tmp_path / "a.npy", values)
    scan = read_scan(tmp_path / "a.npy")
    assert scan.transmission[0, 0, :3].tolist() == [np.float32(1.04), 0.0, 0.5]


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
@pytest.mark.parametrize("names", [("_high", "_low"), ("_HIGH", "_LOW")])
@pytest.mark.parametrize("named", [0, 1])
def test_pair(tmp_path, suffix, names, named):
    values = stored()
    paths = [tmp_path / f"X{name}.{suffix}" for name in names]
    for path, plane in zip(paths, values, strict=True):
        if suffix == "png":
            path.write_bytes(imagecodecs.png_encode(plane))
        elif suffix == "tif":
            tiff(path, plane, compression="zlib")
        else:
            np.save(path, plane)
    scan = read_scan(paths[named])
    np.testing.assert_array_equal(scan.transmission, transmission(values))
    assert scan.fidelity == "dual"
    assert scan.path == str(paths[0])
    assert scan.sha256 == hashlib.sha256(paths[0].read_bytes() + paths[1].read_bytes()).hexdigest()


def test_png_of_one_energy(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored()[0]))
    scan = read_scan(tmp_path / "a.png")
    np.testing.assert_array_equal(scan.transmission, transmission(stored()[[0, 0]]))
    assert scan.fidelity == "single"


def dicom(
    path: Path, values: np.ndarray, bits: int = 16, syntax: UID = ExplicitVRLittleEndian, high_bit: int = 0, **tags
) -> Path:
    """A DICOS-like projection: (frames, rows, columns) of uint16."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.501.2.1"  # DICOS DX
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = values.shape[1:]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, high_bit or bits - 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    if len(values) > 1:
        dataset.NumberOfFrames = len(values)
    for name, value in tags.items():
        setattr(dataset, name, value)
    if syntax.is_compressed:
        dataset.PixelData = encapsulate([encode(syntax, frame) for frame in values])
    else:
        dataset.PixelData = values.astype("<u2" if syntax.is_little_endian else ">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def encode(syntax: UID, frame: np.ndarray) -> bytes:
    match syntax:
        case "1.2.840.10008.1.2.4.80":
            return imagecodecs.jpegls_encode(frame)
        case "1.2.840.10008.1.2.4.90":
            return imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, level=0)
        case "1.2.840.10008.1.2.4.70":
            return imagecodecs.ljpeg_encode(frame)
    return pydicom.pixels.encoders.RLELosslessEncoder.encode(
        frame,
        rows=ROWS,
        columns=COLUMNS,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=16,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
    )


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=["little", "big"])
@pytest.mark.parametrize(
    ("tags", "inverted"),
    [
        ({}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PixelIntensityRelationshipSign": 1}, False),
        ({"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": -1}, True),
    ],
    ids=["mono2", "mono1", "mono1-sign+", "mono2-sign-"],
)
def test_dicom(tmp_path, frames, bits, syntax, tags, inverted):
    values = stored(full=2**bits - 1)[:frames]
    scan = read_scan(dicom(tmp_path / "a.dcm", values, bits, syntax, **tags))
    expected = transmission(values, 2**bits - 1, inverted)
    np.testing.assert_array_equal(scan.transmission, expected if frames == 2 else expected[[0, 0]])
    assert scan.fidelity == ("dual" if frames == 2 else "single")


@pytest.mark.parametrize(
    "syntax", [RLELossless, *map(UID, ("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"))]
)
def test_dicom_lossless(tmp_path, syntax):
    values = stored()
    scan = read_scan(dicom(tmp_path / "a.dcm", values, syntax=syntax))
    np.testing.assert_array_equal(scan.transmission, transmission(values))


def test_dicom_high_bit_and_stray_bits(tmp_path):
    values = stored(full=4095)
    scan = read_scan(dicom(tmp_path / "a.dcm", values << 4 | 0b1010, 12, high_bit=15))
    np.testing.assert_array_equal(scan.transmission, transmission(values, 4095))
    scan = read_scan(dicom(tmp_path / "b.dcm", values | 0xF000, 12))
    np.testing.assert_array_equal(scan.transmission, transmission(values, 4095))


def test_dicom_energy_and_pixel_size(tmp_path):
    scan = read_scan(dicom(tmp_path / "a.dcm", stored()[:1], KVP="160", PixelSpacing=[1.5, 1.5]))
    assert scan.scanner == Scanner("parcel", "160 kV", None, 1.5)


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a", "a.txt"])
def test_content_decides_not_the_name(tmp_path, name):
    path = tiff(tmp_path / name, *stored())
    np.testing.assert_array_equal(read_scan(path).transmission, transmission(stored()))


def test_all_open_beam_is_readable(tmp_path):
    scan = read_scan(tiff(tmp_path / "a.tif", *np.full((2, ROWS, COLUMNS), 65535, np.uint16)))
    assert (scan.transmission == 1).all()


def test_flat_synthetic_levels_are_no_disguise(tmp_path):
    """A clean phantom of 20, 40, 60 and 80 % has multiples of 257 by chance."""
    values = np.full((2, ROWS, COLUMNS), 65535, np.uint16)
    for i, level in enumerate((0.2, 0.4, 0.6, 0.8)):
        values[:, 10 * i : 10 * i + 5] = round(level * 65535)
    assert read_scan(tiff(tmp_path / "a.tif", *values)).fidelity == "dual"


@pytest.mark.parametrize(
    ("text", "scanner"),
    [
        (
            '{"scanner": "container", "high": "6 MV", "low": "4 MV", "pixel_mm": 4.2}',
            Scanner("container", "6 MV", "4 MV", 4.2),
        ),
        ('{"high": "160 kV", "low": "80 kV"}', Scanner("parcel", "160 kV", "80 kV")),
        ('{"high": "9 MV"}', Scanner("container", "9 MV")),
        ('{"high": "450 kV"}', Scanner(None, "450 kV")),
        ('{"high": "HE", "low": "LE", "pixel_mm": 2}', Scanner(None, "HE", "LE", 2.0)),
        ('{"scanner": null, "pixel_mm": null}', Scanner()),
        ('{"shape": [2, 40, 70]}', Scanner()),
        ("[1, 2]", Scanner()),
        ("Eagle R60, lane 2", Scanner()),
        ("{broken", Scanner()),
    ],
)
def test_description(tmp_path, text, scanner):
    assert read_scan(tiff(tmp_path / "a.tif", *stored(), text=text)).scanner == scanner


def test_the_caller_names_the_kind_where_the_file_does_not(tmp_path):
    path = tiff(tmp_path / "a.tif", *stored(), text='{"pixel_mm": 5}')
    assert read_scan(path, scanner="container").scanner == Scanner("container", None, None, 5.0)
    path = tiff(tmp_path / "b.tif", *stored(), text='{"scanner": "parcel"}')
    assert read_scan(path, scanner="parcel").scanner.kind == "parcel"
    with pytest.raises(ScanError, match="says that a parcel scanner took it, not a container"):
        read_scan(path, scanner="container")


def test_pseudocolour_is_monotone(tmp_path):
    ramp = np.linspace(0, 255, COLUMNS).round().astype(np.uint8)
    for colour in ((255, 160, 0), (0, 200, 0), (0, 60, 255), (255, 255, 255)):
        picture = np.multiply.outer(np.tile(ramp / 255.0, (ROWS, 1)), np.array(colour)).round().astype(np.uint8)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture))
        scan = read_scan(tmp_path / "a.png", pseudocolour=True)
        assert scan.fidelity == "pseudocolour"
        assert (np.diff(scan.transmission[0], axis=1) > -1e-3).all()
        assert (scan.transmission[1] <= scan.transmission[0]).all()
        assert 0 <= scan.transmission.min() <= scan.transmission.max() <= 1


def test_pseudocolour_orders_materials_and_says_how_unsure_it_is(tmp_path):
    picture = np.full((ROWS, COLUMNS, 3), 255, np.uint8)
    picture[:, :20] = 200, 150, 60  # orange
    picture[:, 20:40] = 70, 170, 60  # green, about as bright
    picture[:, 40:] = 90, 165, 230  # blue
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture))
    scan = read_scan(tmp_path / "a.png", pseudocolour=True)
    high, low = -np.log(scan.transmission[:, 5, [5, 30, 60]])
    ratio = low / high
    assert ratio[0] < ratio[1] < ratio[2]
    assert scan.uncertainty is not None and scan.uncertainty.palette == "parcel"
    assert scan.uncertainty.attenuation.shape == scan.uncertainty.ratio.shape == scan.shape
    assert (scan.uncertainty.attenuation[5, [5, 30, 60]] > 0.1 * high).all()
    assert (scan.uncertainty.ratio > 0.01).all()


def test_the_kind_of_scanner_chooses_the_palette(tmp_path):
    picture = np.full((ROWS, COLUMNS, 3), (90, 165, 230), np.uint8)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture))
    container = read_scan(tmp_path / "a.png", scanner="container", pseudocolour=True)
    named = read_scan(tmp_path / "a.png", scanner="parcel", pseudocolour=True, palette="container")
    assert container.uncertainty is not None and container.uncertainty.palette == "container"
    np.testing.assert_array_equal(container.transmission, named.transmission)
    high, low = -np.log(container.transmission[:, 5, 5])
    assert low / high < 1.25  # at megavolts the energies differ little


def test_grey_pictures_have_no_material(tmp_path):
    grey = np.tile(np.arange(COLUMNS, dtype=np.uint8), (ROWS, 1)) * 3
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(grey))
    scan = read_scan(tmp_path / "a.png", pseudocolour=True)
    assert (np.diff(scan.transmission[0], axis=1) >= -1e-6).all()
    assert (scan.transmission[1] <= scan.transmission[0]).all()


@pytest.mark.parametrize("fidelity", ["dual", "single", "pseudocolour"])
def test_what_is_written_is_read_back(tmp_path, fidelity):
    values = stored()[[0, 0]] if fidelity == "single" else stored()
    scanner = Scanner("container", "6 MV", "4 MV", 4.2)
    write_scan(Scan(transmission(values), scanner, fidelity=fidelity), tmp_path / "a.tif")
    scan = read_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.transmission, transmission(values))
    assert (scan.scanner, scan.fidelity) == (scanner, fidelity)
    assert scan.sha256 == hashlib.sha256((tmp_path / "a.tif").read_bytes()).hexdigest()
    write_scan(scan, tmp_path / "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"a.tif", "b.tif"}


def test_the_canonical_file_is_as_the_design_says(tmp_path):
    values = np.array([1.0, 0.5, 0.0, 1.2, -0.1], np.float32)
    scan = Scan(np.broadcast_to(values, (2, ROWS, 5)).repeat(8, axis=2), Scanner("parcel", "160 kV", "80 kV", 1.5))
    write_scan(scan, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert [(p.shape, str(p.dtype), p.compression.name) for p in file.pages] == [
            ((ROWS, 40), "uint16", "ADOBE_DEFLATE")
        ] * 2
        assert json.loads(file.pages.first.description) == {
            "scanner": "parcel",
            "high": "160 kV",
            "low": "80 kV",
            "pixel_mm": 1.5,
        }
        assert file.pages.first.asarray()[0, ::8].tolist() == [65535, 32768, 0, 65535, 0]
