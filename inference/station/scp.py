"""DICOS and DICOM over the network: a storage service (C-STORE) that puts what it gets into the queue."""

from __future__ import annotations

import io
import logging
import warnings

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification, register_uid  # type: ignore[attr-defined]

from leadline.datasets.scan import LeadlineError
from leadline.inference.station.intake import Papers
from leadline.inference.station.service import Station

log = logging.getLogger("leadline.station")

DICOS = {
    "1.2.840.10008.5.1.4.1.1.501.2.1": "DICOSDigitalXRayImageStorageForPresentation",
    "1.2.840.10008.5.1.4.1.1.501.2.2": "DICOSDigitalXRayImageStorageForProcessing",
}
CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
)
SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2",  # implicit VR little endian
    "1.2.840.10008.1.2.4.70",  # JPEG lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.5",  # RLE
)
DONE, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000


class DicomService:
    """The storage service; it runs in threads of its own until `stop`.

    Args:
        station: whose queue is filled.
        host, port: where to listen.
        title: its application entity title.
        callers: titles that may call; none lets all.

    Raises:
        LeadlineError: the port cannot be had.
    """

    def __init__(self, station: Station, host: str, port: int, title: str, callers: tuple[str, ...] = ()) -> None:
        self.station = station
        entity = AE(ae_title=title[:16])
        entity.require_called_aet = True
        entity.require_calling_aet = list(callers)
        entity.maximum_associations = 8
        entity.network_timeout = entity.acse_timeout = entity.dimse_timeout = 30
        for name, keyword in DICOS.items():  # pynetdicom knows only DICOM's own classes
            register_uid(name, keyword, StorageServiceClass)
        for name in (*DICOS, *CLASSES):
            entity.add_supported_context(name, list(SYNTAXES))
        entity.add_supported_context(Verification)
        try:
            server = entity.start_server((host, port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        except OSError as error:
            raise LeadlineError(
                f"--dicom-port {port}: cannot listen on {host} ({error.strerror}); choose another port"
            ) from error
        if server is None:
            raise LeadlineError(f"--dicom-port {port}: the service did not start; choose another port")
        self.server = server
        self.port: int = server.server_address[1]

    def stop(self) -> None:
        """End the service."""
        self.server.shutdown()

    def _store(self, event: Event) -> int:
        caller = "dicom"
        try:
            with warnings.catch_warnings(action="ignore"):
                dataset = event.dataset
                dataset.file_meta = event.file_meta
                data = _bytes(dataset)
                papers = Papers.checked(
                    {
                        "container": str(dataset.get("PatientID", "") or "")[:100],
                        "description": str(dataset.get("OOITypeDescriptor", "") or "")[:500],
                    }
                )
            caller = f"dicom {str(event.assoc.requestor.ae_title).strip()[:16]}"
            if len(data) > self.station.options.most_upload:
                return NO_ROOM
            self.station.intake.take([(f"{dataset.SOPInstanceUID}.dcm", data)], papers, caller)
            self.station.worker.wake()
            return DONE
        except LeadlineError as error:
            log.warning("%s: %s", caller, error)
            return NO_ROOM
        except Exception:
            log.exception("%s: what was sent cannot be taken", caller)
            return NOT_UNDERSTOOD


def _bytes(dataset: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()
