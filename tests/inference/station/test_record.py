"""Reports, DICOS, the ledger, supervision, similar scans; DICOM over the network."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from leadline.inference.station import pdf, supervision
from leadline.inference.station.files import clean_name, identifier, pixel_bytes, stored_name
from leadline.inference.station.store import Store

ScanFile = Callable[..., Path]


@pytest.fixture(scope="module")
def case(station: Any, tmp_path_factory: pytest.TempPathFactory, picture: Any) -> dict[str, Any]:
    """A judged, decided and inspected scan whose declaration is hostile."""
    from leadline.datasets.formats import write_scan

    path = tmp_path_factory.mktemp("case") / "MSCU1234566.tif"
    write_scan(picture("parcel", boxes=((30, 20, 90, 60, 3.0),), seed=77), path)
    scan = station.post(path, hs_code="6907", description='<script>alert("x")</script> 瓷砖')
    found: dict[str, Any] = station.judged(scan)
    json_of = {"decision": "rescan", "override": "poor_image", "note": "</li><script>1</script>"}
    assert station.client.post(f"/api/scans/{scan}/decision", json=json_of).status_code == 200
    return found


def test_the_html_report_stands_alone(station: Any, case: dict[str, Any]) -> None:
    scan = case["summary"]["id"]
    for language, words in (
        ("en", ("Evidence report", "poor image", "Why")),
        ("zh", ("证据报告", "图像质量差", "理由")),
    ):
        answer = station.client.get(f"/api/scans/{scan}/report.{language}.html")
        text = answer.text
        for word in words:
            assert word in text
        assert "<script" not in text
        assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; 瓷砖" in text
        assert not re.search(r'(src|href)=(?!"data:)', text)
        assert "script-src" not in answer.headers["content-security-policy"]
        assert case["summary"]["sha256"] in text
        assert case["line"]["model"]["sha256"] in text
        rows = station.client.get(f"/api/scans/{scan}/history").json()
        assert all(row["hash"] in text for row in rows)
        assert text.count("data:image/jpeg;base64,") == 3


def test_the_pdf_is_whole_and_can_be_searched(station: Any, case: dict[str, Any]) -> None:
    data = station.client.get(f"/api/scans/{case['summary']['id']}/report.en.pdf").content
    assert data.startswith(b"%PDF-1.4")
    assert data.rstrip().endswith(b"%%EOF")
    start = int(re.search(rb"startxref\n(\d+)", data).group(1))  # type: ignore[union-attr]
    table = data[start:].split(b"trailer")[0].splitlines()[3:]
    for number, line in enumerate(table, 1):
        place = int(line[:10])
        assert data[place:].startswith(b"%d 0 obj" % number)
    assert case["summary"]["sha256"][:40].encode() in data
    pages = len(re.findall(rb"/Type /Page ", data))
    assert pages == data.count(b"/Filter /DCTDecode") >= 2


def test_pdf_text_cannot_break_out_of_its_string() -> None:
    paper = pdf.Document("a) /JavaScript (b\\")
    paper.list([r"x) Tj (\ (unbalanced"])
    data = paper.file()
    assert rb"a\) /JavaScript \(b\\" in data
    assert rb"x\) Tj \(\\ \(unbalanced" in data


def test_the_dicos_report(station: Any, case: dict[str, Any]) -> None:
    data = station.client.get(f"/api/scans/{case['summary']['id']}/report.dcs").content
    ds = pydicom.dcmread(io.BytesIO(data))
    assert ds.SOPClassUID.name == "DICOS Threat Detection Report Storage"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert (ds.Modality, ds.TDRType, ds.AlarmDecision, ds.AbortFlag) == ("TDR", "OPERATOR", "UNKNOWN", "SUCCESS")
    assert ds.PatientID == "MSCU1234566"
    assert "瓷砖" in ds.OOITypeDescriptor
    assert ds.ThreatDetectionAlgorithmAndVersion[1] == "sha256 " + case["line"]["model"]["sha256"][:32]
    assert case["line"]["model"]["sha256"] in ds[0x4011, 0x1001].value
    (threat,) = ds.ThreatSequence
    region = case["line"]["regions"][0]
    x0, y0, x1, y1 = region["box"]
    assert list(threat.PTORepresentationSequence[0].BoundingPolygon) == [x0, y0, 0, x1, y0, 0, x1, y1, 0, x0, y1, 0]
    low, high = region["mass_kg"]
    assert low * 1000 < threat.PTORepresentationSequence[0].Mass < high * 1000
    said = threat.ATDAssessmentSequence[0]
    assert said.ThreatCategoryDescription == "rare-earth oxide"
    assert said.ATDAssessmentProbability == pytest.approx(region["probability"], abs=1e-6)
    for element in ds.iterall():
        assert element.VR != "UN"


def test_decisions_need_reasons_and_order(station: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file(dense=False))
    assert station.judged(scan)["summary"]["verdict"] == "clear"
    ask = station.client.post
    assert ask(f"/api/scans/{scan}/result", json={"found": False}).status_code == 409
    refused = ask(f"/api/scans/{scan}/decision", json={"decision": "inspect"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "reason_needed")
    chosen = {"decision": "inspect", "override": "intelligence"}
    assert ask(f"/api/scans/{scan}/decision", json=chosen).json()["override"] == "intelligence"
    assert ask(f"/api/scans/{scan}/result", json={"found": True, "family": "unobtainium"}).status_code == 422
    assert ask(f"/api/scans/{scan}/result", json={"found": True, "family": "antimony"}).json()["result"] == "found"
    rows = list(csv.DictReader(io.StringIO(station.client.get("/api/labels.csv").text)))
    (label,) = [r for r in rows if scan in r["path"]]
    assert (label["label"], label["family"]) == ("found", "antimony")
    assert (station.data / label["path"]).is_file()
    again = ask(f"/api/scans/{scan}/decision", json={"decision": "clear"}).json()
    assert (again["decision"], again["result"], again["override"]) == ("clear", None, None)
    assert station.client.get("/api/ledger").json()["intact"]


def test_a_formula_in_a_label_is_only_text(station: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file(), description="=HYPERLINK(1)")
    station.judged(scan)
    station.client.post(f"/api/scans/{scan}/decision", json={"decision": "inspect"})
    station.client.post(f"/api/scans/{scan}/result", json={"found": False})
    assert ",'=HYPERLINK(1)," in station.client.get("/api/labels.csv").text


def test_what_was_found_becomes_labels_for_training(station: Any, scan_file: ScanFile) -> None:
    """The export, saved in the data folder, is a labelled set as training and evaluation read it."""
    from leadline.training.labelled import read_labels

    told = {}
    for name, found in (("found.tif", True), ("nothing.tif", False)):
        scan = station.post(scan_file(name), hs_code="690721", description="ceramic tiles")
        station.judged(scan)
        station.client.post(f"/api/scans/{scan}/decision", json={"decision": "inspect"})
        family = {"family": "rare_earth_magnet"} if found else {}
        assert station.client.post(f"/api/scans/{scan}/result", json={"found": found, **family}).status_code == 200
        told[scan] = found
    (station.data / "labels.csv").write_bytes(station.client.get("/api/labels.csv").content)
    read = {s.path.parent.name: s for s in read_labels(station.data)}
    for scan, found in told.items():
        assert read[scan].positive is found
        assert read[scan].family == ("rare_earth_magnet" if found else "")
        assert read[scan].declaration.hs_code == "690721"


def test_similar_scans(station: Any, scan_file: ScanFile) -> None:
    dense = [station.post(scan_file(f"d{i}.tif")) for i in range(2)]
    light = station.post(scan_file("light.tif", dense=False))
    for scan in (*dense, light):
        station.judged(scan)
    found = station.client.get(f"/api/scans/{dense[0]}/similar").json()
    distances = {f["scan"]["id"]: f["distance"] for f in found}
    assert dense[0] not in distances
    assert list(distances.values()) == sorted(distances.values())


def test_search(station: Any, scan_file: ScanFile) -> None:
    scan = station.post(scan_file("x.tif"), container="TCLU 765432 1", description="100%_cotton shirts")
    station.judged(scan)

    def hits(**query: Any) -> list[str]:
        return [s["id"] for s in station.client.get("/api/scans", params=query).json()["scans"]]

    for text in ("tclu7654321", "cotton TCLU", "100%_cotton", scan):
        assert hits(text=text) == [scan], text
    for text in ("100x_cotton", "cotton wool", "%%%"):
        assert hits(text=text) == []
    now = time.time()
    assert scan in hits(since=now - 600, until=now + 600, verdict="inspect", open_only=True)
    assert scan not in hits(until=now - 600)
    assert scan not in hits(verdict="clear")


def test_live_updates(station: Any, scan_file: ScanFile) -> None:
    """The stream tells a scan's way, and takes up where a lost connection ended."""
    seen, last = [], ""
    with station.client.stream("GET", f"/api/events?after={station.scans()[0]['change'] + 1000}"):
        pass
    before = max(s["change"] for s in station.scans())
    with station.client.stream("GET", f"/api/events?after={before}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        scan = station.post(scan_file("live.tif"))
        for line in answer.iter_lines():
            if line.startswith("id: "):
                last = line[4:]
            if line.startswith("data: "):
                row = json.loads(line[6:])
                seen += [row["state"]] if row["id"] == scan else []
                if row["id"] == scan and row["state"] == "screened":
                    break
    assert seen[-1] == "screened"
    headers = {"Last-Event-ID": str(int(last) - 1)}
    with station.client.stream("GET", "/api/events", headers=headers) as answer:
        rows = (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))
        assert next(rows)["id"] == scan


def test_pixels_are_the_files_own_values(station: Any, scan_file: ScanFile) -> None:
    import tifffile

    path = scan_file("native.tif")
    scan = station.post(path)
    summary = station.judged(scan)["summary"]
    answer = station.client.get(f"/api/scans/{scan}/pixels")
    assert float(answer.headers["x-leadline-scale"]) == 1.0
    pixels = np.frombuffer(answer.content, "<u2").reshape(summary["rows"], summary["columns"], 2)
    np.testing.assert_array_equal(pixels, np.stack([tifffile.imread(path, key=k) for k in (0, 1)], axis=-1))


def test_pixels_brighter_than_open_beam(picture: Any) -> None:
    scan = picture("parcel")
    assert scan.transmission.max() > 1
    data, scale = pixel_bytes(scan)
    values = np.frombuffer(data, "<u2").reshape(*scan.shape, 2).transpose(2, 0, 1) * (scale / 65535)
    np.testing.assert_allclose(values, scan.transmission, atol=scale / 65535)


def test_dicom_over_the_network(start: Any, tmp_path: Path, picture: Any) -> None:
    """A modality pushes a DICOS scan; an unknown caller is turned away."""
    import socket

    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    from pynetdicom import AE

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    station = start("--dicom-port", port, "--dicom-from", "GATE4", "--scanner", "parcel")
    pixels = np.rint(np.clip(picture("parcel").transmission, 0, 1) * 65535).astype("<u2")
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.501.2.2"
    ds.SOPInstanceUID = generate_uid()
    ds.PatientID, ds.OOITypeDescriptor, ds.Modality = "CSQU3054383", "ceramic tiles", "DX"
    ds.Rows, ds.Columns, ds.NumberOfFrames = *pixels.shape[1:], 2
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    for title, status in (("GATE4", 0x0000), ("EVIL", None)):
        caller = AE(ae_title=title)
        caller.add_requested_context(ds.SOPClassUID, ExplicitVRLittleEndian)
        link = caller.associate("127.0.0.1", port, ae_title="LEADLINE")
        assert link.is_established == (status is not None)
        if status is not None:
            assert link.send_c_store(ds).Status == status
            link.release()
    (scan,) = station.scans()
    assert (scan["container"], scan["description"], scan["source"]) == ("CSQU3054383", "ceramic tiles", "dicom GATE4")
    assert station.judged(scan["id"])["summary"]["state"] == "screened"


def test_drift_is_seen(tmp_path: Path) -> None:
    """Noise that doubled is a warning; figures that scatter as before are none."""
    store = Store(tmp_path / "station.db")
    generator = np.random.default_rng(3)
    day, end = 86_400.0, 1_700_000_000.0
    for i in range(400):
        at = end - (40 - i / 10) * day
        noise = 0.02 * (2 if i > 330 else 1) * generator.uniform(0.9, 1.1)
        line = {"score": generator.uniform(0, 1), "quality": {"noise": noise, "novelty": generator.uniform(0.3, 0.6)}}
        values = {"id": f"{i:024x}", "sha256": "0", "name": "n", "source": "s", "arrived": at, "state": "screened"}
        decided = {
            "opened": at,
            "decided_at": at + 15,
            "decision": "clear",
            "verdict": "clear" if i % 10 else "inspect",
        }
        store.add(values | decided | {"line": json.dumps(line), "judged": at + 1, "score": line["score"]})
    view = supervision.overview(store, end)
    assert {d.name: d.warning for d in view.drift} == {"noise": True, "score": False, "novelty": False}
    assert sum(p.scans for p in view.periods) == 400
    assert sum(p.agreed for p in view.periods) == 360
    assert {p.seconds for p in view.periods} == {15.0}
    store.close()


@pytest.mark.parametrize(
    ("given", "shown", "stored"),
    [
        ("a.tif", "a.tif", "scan.tif"),
        ("../../x.TIFF", "x.TIFF", "scan.tiff"),
        ("c:\\scans\\b.png", "b.png", "scan.png"),
        ("evil.sh", "evil.sh", "scan"),
        ("", "scan", "scan"),
        ("a\x00\x1b[31m.npy", "a[31m.npy", "scan.npy"),
    ],
)
def test_names(given: str, shown: str, stored: str) -> None:
    assert clean_name(given) == shown
    assert stored_name(given) == stored


def test_identifiers_tell_papers_apart() -> None:
    papers = [("a", "b", None), ("a", None, "b"), ("ab", None, None), (None, None, None), ("a", "b", "")]
    assert len({identifier("0" * 64, *p) for p in papers}) == 4  # None and "" both mean nothing declared
