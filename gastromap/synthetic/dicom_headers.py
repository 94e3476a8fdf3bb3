"""Header of a synthetic study: identity, dates, module attributes and the habits of the three centres.

Module tables are those of DICOM PS3.3 (CT Image IOD A.3, Secondary Capture Image IOD A.8); the checker is dciodvfy.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from gastromap import __version__
from gastromap.synthetic.cases import first_day
from gastromap.synthetic.dicom_habits import habits_of
from gastromap.synthetic.export_scan import Scan
from gastromap.synthetic.types import rng_for

__all__ = ["Study", "ct_header", "dose_header", "make_uid", "plan_study"]

_NAMESPACE: Final = uuid.UUID("5d1b4a5e-6c1c-4a0c-9a3e-2f9f1c0de001")
_IMPLEMENTATION: Final = UID("2.25." + str(uuid.uuid5(_NAMESPACE, "implementation").int))


def make_uid(*parts: object) -> str:
    """UID of the 2.25 arc (PS3.5 B.2), the same for the same parts on every machine."""
    return "2.25." + str(uuid.uuid5(_NAMESPACE, "/".join(str(part) for part in parts)).int)


@dataclass(frozen=True)
class Study:
    """Identity and clock of one examination; times are those of the scanner's local clock."""

    scan: Scan
    start: datetime  #: first image
    bolus: datetime  #: contrast injection
    weight_kg: float
    height_m: float
    days: int = 0  #: after the patient's first examination

    @property
    def key(self) -> tuple[object, ...]:
        """Parts that make the UIDs of this study unique.

        Everything that changes a pixel is among them: the same patient at another centre or with another matrix
        must not arrive in a PACS under the same UIDs.
        """
        scan = self.scan
        return (repr(scan.case), repr(scan.scanner), repr(scan.grid), scan.examination)

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return make_uid("study", *self.key)

    @property
    def birth_date(self) -> date:
        """A birthday half a year before the first study, so that the age holds on its date."""
        day = self.start.date() - timedelta(days=self.days + 182)
        return date(day.year - self.scan.case.age_years, day.month, min(day.day, 28))

    @property
    def age_years(self) -> int:
        """Age on the day of this study."""
        today, born = self.start.date(), self.birth_date
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

    @property
    def visit(self) -> str:
        """Empty for the first examination; what tells a later one of the same patient from it."""
        return "" if self.scan.examination == "baseline" else "F"


def plan_study(scan: Scan, *, days: int = 0) -> Study:
    """Draw date, time of day and body size of an examination.

    Parameters
    ----------
    scan : Scan
        The examination.
    days : int
        Days after the patient's first examination.

    Returns
    -------
    study : Study
    """
    rng = rng_for(scan.case.seed, scan.case.number, "calendar")
    day = first_day(rng)
    # Working hours only: no phase may cross midnight, which is a fault of its own and belongs to the fault tests.
    start = datetime(day.year, day.month, day.day) + timedelta(
        days=days, seconds=int(rng.integers(8 * 3600, 17 * 3600))
    )
    height = float(rng.normal(1.70 if scan.case.sex == "M" else 1.59, 0.06))
    weight = float(rng.normal(22.8, 2.6)) * height**2
    return Study(
        scan=scan,
        start=start,
        bolus=start + timedelta(seconds=int(rng.integers(150, 260))),
        weight_kg=round(max(weight, 38.0), 1),
        height_m=round(height, 2),
        days=days,
    )


def da(moment: date) -> str:
    """Date in the DA representation."""
    return moment.strftime("%Y%m%d")


def tm(moment: datetime) -> str:
    """Time in the TM representation, milliseconds."""
    return moment.strftime("%H%M%S.") + f"{moment.microsecond // 1000:03d}"


def _set(dataset: Dataset, **values: Any) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)


def common_header(study: Study, sop_class: str, sop_uid: str) -> Dataset:
    """Build patient, study, equipment and SOP common modules with the file meta information."""
    case, scanner = study.scan.case, study.scan.scanner
    habits = habits_of(case.centre)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = f"GASTROMAP_{__version__}"[:16]
    header = Dataset()
    header.file_meta = meta
    _set(
        header,
        SpecificCharacterSet=habits.charset,
        SOPClassUID=sop_class,
        SOPInstanceUID=sop_uid,
        StudyDate=da(study.start),
        StudyTime=tm(study.start),
        AccessionNumber=f"SYN{case.seed % 10**6:06d}{case.number:05d}{study.visit}"[:16],
        Modality="CT",
        Manufacturer=scanner.manufacturer,
        InstitutionName=f"SYNTHETIC CENTRE {case.centre}",
        ReferringPhysicianName="",
        StationName=f"SYN{case.centre}",
        StudyDescription=habits.study_description,
        ManufacturerModelName=scanner.model,
        PatientName=f"SYNTHETIC^Case {case.number:05d}" + habits.ideographic_name,
        PatientID=case.patient_id,
        PatientBirthDate=da(study.birth_date),
        PatientSex=case.sex,
        PatientAge=f"{study.age_years:03d}Y",
        PatientSize=f"{study.height_m:.2f}",
        PatientWeight=f"{study.weight_kg:.1f}",
        DeviceSerialNumber=f"SYN-{case.centre}",
        SoftwareVersions=f"gastromap {__version__}",
        StudyInstanceUID=study.uid,
        StudyID=f"{case.number}{study.visit}",
        PatientComments="SYNTHETIC data, not a patient",
    )
    return header


def ct_header(study: Study, *, series: str, instance: int, acquired: datetime, made: datetime) -> Dataset:
    """CT header without geometry, pixels and series identity.

    Parameters
    ----------
    study : Study
        Examination.
    series : str
        Key of the series within the study, makes its UID.
    instance : int
        InstanceNumber, from 1.
    acquired, made : datetime
        Start of the acquisition and time of the reconstruction.
    """
    scan = study.scan
    header = common_header(study, CTImageStorage, make_uid("image", *study.key, series, instance))
    _set(
        header,
        InstanceCreationDate=da(made),
        InstanceCreationTime=tm(made),
        SeriesDate=da(acquired),
        AcquisitionDate=da(acquired),
        ContentDate=da(made),
        SeriesTime=tm(acquired),
        AcquisitionTime=tm(acquired),
        ContentTime=tm(made),
        BodyPartExamined="ABDOMEN",
        KVP="120",
        DataCollectionDiameter="500",
        ProtocolName=habits_of(scan.case.centre).protocol,
        ReconstructionDiameter=f"{scan.grid.columns * scan.grid.spacing_mm:.4f}".rstrip("0").rstrip("."),
        DistanceSourceToDetector="1040",
        DistanceSourceToPatient="570",
        GantryDetectorTilt="0",
        TableHeight=f"{150 + scan.scanner.table_y_mm:.1f}",
        RotationDirection="CW",
        ExposureTime="500",
        XRayTubeCurrent="240",
        Exposure="120",
        FilterType="WEDGE",
        FocalSpots="0.9",
        PatientPosition="HFS",
        SeriesInstanceUID=make_uid("series", *study.key, series),
        InstanceNumber=str(instance),
        FrameOfReferenceUID=make_uid("frame", *study.key),
        PositionReferenceIndicator="",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
    )
    return header


def add_contrast(header: Dataset, study: Study) -> None:
    """Add the contrast/bolus module: 1.5 mL/kg at 3 mL/s, as in the published protocol."""
    volume = round(1.5 * study.weight_kg)
    duration = volume / 3.0
    _set(
        header,
        ContrastBolusAgent="Iohexol 350",
        ContrastBolusRoute="IV",
        ContrastBolusVolume=str(volume),
        ContrastBolusStartTime=tm(study.bolus),
        ContrastBolusStopTime=tm(study.bolus + timedelta(seconds=duration)),
        ContrastBolusTotalDose=str(volume),
        ContrastFlowRate="3",
        ContrastFlowDuration=f"{duration:.1f}",
        ContrastBolusIngredient="IODINE",
        ContrastBolusIngredientConcentration="350",
    )


def dose_header(study: Study, *, series: str, made: datetime) -> Dataset:
    """Header of the dose page: a Secondary Capture that says CT, as scanners send it."""
    header = common_header(study, SecondaryCaptureImageStorage, make_uid("image", *study.key, series, 1))
    _set(
        header,
        ImageType=["DERIVED", "SECONDARY", "OTHER"],
        SeriesDate=da(made),
        SeriesTime=tm(made),
        ContentDate=da(made),
        ContentTime=tm(made),
        ConversionType="WSD",
        SecondaryCaptureDeviceManufacturer=study.scan.scanner.manufacturer,
        SeriesInstanceUID=make_uid("series", *study.key, series),
        InstanceNumber="1",
        PatientOrientation="",
        BodyPartExamined="ABDOMEN",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        BurnedInAnnotation="YES",
    )
    return header
