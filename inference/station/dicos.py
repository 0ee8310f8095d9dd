"""A DICOS Threat Detection Report of a verdict (NEMA IIC 1, Threat Detection Report IOD), written with pydicom.

Which attribute carries what: `AlarmDecision` and `ATDAssessmentProbability` the verdict and the score, one
Potential Threat Object a region with its bounding polygon, mass and assessment, and
`ThreatDetectionAlgorithmAndVersion` the model. DICOS defines the categories `ANOMALY` and `CONTRABAND`
among others; strategic goods are contraband here.
"""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from importlib.metadata import version

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DICOSThreatDetectionReportStorage, ExplicitVRLittleEndian

from leadline.inference import reasons
from leadline.inference.station.evidence import Case

ALARM = {"clear": "CLEAR", "inspect": "ALARM", "rescan": "UNKNOWN"}
ABILITY = {"clear": "NO_INTERFERENCE", "inspect": "NO_INTERFERENCE", "rescan": "SHIELD"}
ASSESSMENT = {"clear": "NO_THREAT", "inspect": "THREAT", "rescan": "UNKNOWN"}


def uid(*parts: str) -> UID:
    """A UID under 2.25 (ISO/IEC 9834-8), the same for the same parts."""
    return UID("2.25." + str(int(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32], 16)))


def report_of(case: Case) -> bytes:
    """The report as the bytes of a DICOM file."""
    row, line = case.row, case.line
    model = line["model"]
    decided = row["decision"]
    head = case.history[-1].hash if case.history else ""
    instance = uid("report", row["id"], model["sha256"], head)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DICOSThreatDetectionReportStorage
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("leadline")
    meta.ImplementationVersionName = "LEADLINE"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made, arrived = datetime.now(UTC), datetime.fromtimestamp(row["arrived"], UTC)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = DICOSThreatDetectionReportStorage, instance
    ds.Modality = "TDR"
    ds.Manufacturer = "leadline"
    ds.ManufacturerModelName = f"leadline {version('leadline')}"
    ds.SoftwareVersions = version("leadline")
    ds.StudyInstanceUID = uid("study", row["sha256"])
    ds.SeriesInstanceUID = uid("series", row["id"], model["sha256"])
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.InstanceCreationDate = ds.ContentDate = made.strftime("%Y%m%d")
    ds.InstanceCreationTime = ds.ContentTime = made.strftime("%H%M%S")
    ds.StudyDate, ds.StudyTime = arrived.strftime("%Y%m%d"), arrived.strftime("%H%M%S")
    ds.TimezoneOffsetFromUTC = "+0000"
    ds.PatientID, ds.PatientName = (row["container"] or row["id"])[:64], ""  # the object of inspection
    ds.AccessionNumber = row["id"][:16]
    ds.ImageComments = " ".join(line["reasons"])[:10240]
    ds.DICOSVersion = "V02A"
    ds.OOIType = "CARGO" if row["scanner"] == "container" else "PARCEL"
    ds.OOITypeDescriptor = (row["description"] or "")[:10240]
    ds.ScanType = "OPERATIONAL"
    ds.TDRType = "OPERATOR" if decided else "MACHINE"
    ds.ThreatDetectionAlgorithmAndVersion = [
        f"{model['name']} {model['version']}"[:64],
        f"sha256 {model['sha256'][:32]}",
    ]
    ds.TotalProcessingTime = float(line["elapsed_ms"] or 0.0)
    final = decided or line["verdict"]
    ds.AlarmDecision = ALARM[final]
    ds.AlarmDecisionTime = datetime.fromtimestamp(row["decided_at"] or row["judged"], UTC).strftime("%Y%m%d%H%M%S.%f")
    ds.AbortFlag = "SUCCESS"
    ds.NumberOfTotalObjects = len(line["regions"])
    ds.NumberOfAlarmObjects = len(line["regions"]) if line["verdict"] == "inspect" else 0
    ds.ThreatSequence = Sequence([_threat(number, region, case) for number, region in enumerate(line["regions"], 1)])
    ds.ContentDescription = f"score {line['score']:.4f} threshold {line['threshold']:.4f}"
    if decided:
        ds.OperatorsName = row["decided_by"]
    record = {"scan": row["sha256"], "model": model["sha256"], "ledger_rows": case.head[0], "ledger_head": case.head[1]}
    block = ds.private_block(0x4011, "LEADLINE", create=True)
    block.add_new(0x01, "LT", json.dumps(record))
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _threat(number: int, region: dict, case: Case) -> Dataset:
    """One Potential Threat Object."""
    x0, y0, x1, y1 = region["box"]
    item = Dataset()
    item.PotentialThreatObjectID = number
    place = Dataset()
    # Corners in pixels of the image, column, row, and 0 for the depth that a projection lacks.
    place.BoundingPolygon = [float(v) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1)) for v in (*c, 0)]
    if region["mass_kg"] and None not in region["mass_kg"]:
        low, high = region["mass_kg"]
        place.Mass = float((low * high) ** 0.5 * 1000)  # grams; the middle of the interval
    item.PTORepresentationSequence = Sequence([place])
    said = Dataset()
    said.ThreatCategory = "CONTRABAND"
    said.ThreatCategoryDescription = reasons.title(region["family"])
    said.ATDAbilityAssessment = ABILITY[case.line["verdict"]]
    said.ATDAssessmentFlag = ASSESSMENT[case.line["verdict"]]
    said.ATDAssessmentProbability = float(region["probability"] or 0.0)
    item.ATDAssessmentSequence = Sequence([said])
    return item
