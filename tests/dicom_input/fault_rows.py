"""The fault table of the gate: each row writes a folder and names the outcome that the contract demands."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_input.series_builder import Series, make_series, mixed, pattern, uid, write_dataset

Row = Callable[[Path], object]
HANDLED: dict[str, tuple[Row, tuple[str, ...]]] = {}
REFUSED: dict[str, tuple[Row, str]] = {}


def handled(row: str, *warnings: str) -> Callable[[Row], Row]:
    """The volume equals that of the sound series, with these warnings."""

    def register(build: Row) -> Row:
        HANDLED[row] = (build, warnings)
        return build

    return register


def refused(row: str, code: str) -> Callable[[Row], Row]:
    def register(build: Row) -> Row:
        REFUSED[row] = (build, code)
        return build

    return register


def _patch(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def _cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def _cut_before(path: Path, tag: bytes, extra: int = 0) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.index(tag, 200) + extra])


def arterial(**values: object) -> Series:
    """The arterial phase of the same study and region."""
    return make_series(
        **{"name": "arterial", "number": 3, "description": "arterial", "time": "120025", "seed": 3, **values}  # type: ignore[arg-type]
    )


# --- a: slices and phases -------------------------------------------------------------------------------------------
handled("a01 nothing wrong")(lambda folder: make_series().write(folder))
refused("a02 two middle slices missing", "GAP")(lambda folder: make_series().drop(8, 9).write(folder))
refused("a03 second slice missing", "GAP")(lambda folder: make_series().drop(1).write(folder))
refused("a04 three slices missing at each end", "COVERAGE")(
    lambda folder: make_series(16).drop(0, 1, 2, -1, -2, -3).write(folder)
)


@handled("a05 exact copies", "DUPLICATES_DROPPED")
def _(folder: Path) -> None:
    for path in make_series().write(folder):
        shutil.copy(path, path.with_suffix(".copy"))


@handled("a05b other UIDs, same pixels and positions", "DUPLICATES_DROPPED")
def _(folder: Path) -> None:
    make_series().write(folder)
    again = make_series()
    again.each(lambda index, item: setattr(item, "SOPInstanceUID", uid("again", index)))
    again.write(folder, "again")


@refused("a05c one SOP Instance UID with two contents", "DUPLICATE_CONFLICT")
def _(folder: Path) -> None:
    make_series().write(folder)
    make_series(seed=5).drop(*range(1, 20)).write(folder, "again")


def _two_phases(**second: object) -> Series:
    return mixed(make_series(), make_series(name="second", seed=3, **second))  # type: ignore[arg-type]


refused("a06 two phases, nothing separates them", "PHASE_MIXED")(lambda folder: _two_phases().write(folder))
refused("a07 two phases by AcquisitionNumber, equal evidence", "AMBIGUOUS_SERIES")(
    lambda folder: _two_phases(acquisition=2).write(folder)
)
handled("a08 portal and delayed in one series")(
    lambda folder: _two_phases(acquisition=2, time="120500", first_instance=101).write(folder)
)
refused("a09 two phases, AcquisitionNumber empty", "PHASE_MIXED")(
    lambda folder: _two_phases().set(AcquisitionNumber=None).write(folder)
)


@refused("a11 one slice at the position of another", "PHASE_MIXED")
def _(folder: Path) -> None:
    series = make_series()
    series.slices[17].ImagePositionPatient = series.slices[3].ImagePositionPatient
    series.write(folder)


@handled("a12 two monitoring slices in the series, told apart by acquisition", "SLICES_LEFT_OUT")
def _(folder: Path) -> None:
    monitoring = make_series(2, name="monitoring", acquisition=2, first_instance=101, seed=3, z_mm=-380.0)
    mixed(make_series(), monitoring).write(folder)


refused("a10 second phase interleaved", "PHASE_MIXED")(lambda folder: _two_phases(z_mm=-398.0).write(folder))


# --- b: geometry ----------------------------------------------------------------------------------------------------
@refused("b01 spacing 5 then 3.5 mm", "SPACING_VARIES")
def _(folder: Path) -> None:
    def squeeze(index: int, item: Dataset) -> None:
        if index > 14:
            item.ImagePositionPatient[2] = -400 + 70 + (index - 14) * 3.5

    make_series().each(squeeze).write(folder)


@handled("b02 jitter of 0.02 mm")
def _(folder: Path) -> None:
    def jitter(index: int, item: Dataset) -> None:
        if 0 < index < 19:
            item.ImagePositionPatient[2] += (-0.02, 0.0, 0.02)[index % 3]

    make_series().each(jitter).write(folder)


@refused("b03 gantry tilt", "TILT")
def _(folder: Path) -> None:
    def tilt(index: int, item: Dataset) -> None:
        item.ImagePositionPatient[1] = -30 + index * 5 * float(np.tan(np.radians(15)))

    make_series().each(tilt).write(folder)


refused("b05 PixelSpacing missing", "PIXEL_SPACING")(lambda folder: make_series().remove("PixelSpacing").write(folder))
refused("b06 PixelSpacing zero", "PIXEL_SPACING")(lambda folder: make_series(PixelSpacing=[0, 0]).write(folder))
refused("b07 PixelSpacing changes", "PIXEL_SPACING")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PixelSpacing", [0.9, 0.9] if index > 9 else [0.78125, 0.78125]))
        .write(folder)
    )
)
handled("b08 wrong SliceThickness", "THICKNESS_TAG")(lambda folder: make_series(SliceThickness="1.0").write(folder))
refused("b09 no position", "GEOMETRY_MISSING")(
    lambda folder: make_series().remove("ImagePositionPatient").write(folder)
)
refused("b10 one slice without position", "GEOMETRY_MISSING")(
    lambda folder: (
        make_series()
        .each(lambda index, item: delattr(item, "ImagePositionPatient") if index == 4 else None)
        .write(folder)
    )
)
refused("b11 no orientation", "GEOMETRY_MISSING")(
    lambda folder: make_series().remove("ImageOrientationPatient").write(folder)
)


@handled("b12 file names in reverse order")
def _(folder: Path) -> None:
    paths = make_series().write(folder)
    for index, path in enumerate(paths):
        path.rename(folder / f"z{99 - index}.dcm")


@refused("b18 two Frames of Reference, not separable", "ORIENTATION")
def _(folder: Path) -> None:
    def other_frame(index: int, item: Dataset) -> None:
        if index > 9:
            item.FrameOfReferenceUID = uid("another frame")

    make_series().each(other_frame).write(folder)


@handled("b19 two slices with exchanged numbers", "ORDER_DISAGREES")
def _(folder: Path) -> None:
    series = make_series()
    series.slices[4].InstanceNumber, series.slices[7].InstanceNumber = 8, 5
    series.write(folder)


@handled("b20 SliceLocation against the positions", "ORDER_DISAGREES")
def _(folder: Path) -> None:
    make_series().each(lambda index, item: setattr(item, "SliceLocation", 500 - abs(index - 9))).write(folder)


@handled("b21 a neighbouring image under another series", "ENDS_MISSING")
def _(folder: Path) -> None:
    series = make_series(21)
    series.slices[20].SeriesInstanceUID = uid("astray")
    series.write(folder)


@handled("b22 last image under another series and without a place", "ENDS_MISSING")
def _(folder: Path) -> None:
    series = make_series(21)
    series.slices[20].SeriesInstanceUID = uid("astray")
    del series.slices[20].ImagePositionPatient
    series.write(folder)


refused("b13 in-plane flip in the middle", "ORIENTATION")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "ImageOrientationPatient", [-1, 0, 0, 0, -1, 0]) if index > 9 else None)
        .write(folder)
    )
)
refused("b14 one slice of another matrix", "MATRIX_VARIES")(
    lambda folder: (
        make_series()
        .each(
            lambda index, item: (
                (setattr(item, "Rows", 96), setattr(item, "PixelData", pattern(0, 96, 64).tobytes()))
                if index == 4
                else None
            )
        )
        .write(folder)
    )
)
refused("b15 one slice", "TOO_FEW_SLICES")(lambda folder: make_series(1).write(folder))
refused("b16 two slices", "TOO_FEW_SLICES")(lambda folder: make_series(2).write(folder))


# --- c: series, patients, text --------------------------------------------------------------------------------------
def _localizer(**values: object) -> Series:
    return make_series(
        1,
        name="localizer",
        number=1,
        **{  # type: ignore[arg-type]
            "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
            "ImageOrientationPatient": [1, 0, 0, 0, 0, -1],
            "SOPInstanceUID": uid("localizer"),
            **values,
        },
    )


@handled("c01 localizer as its own series")
def _(folder: Path) -> None:
    make_series().write(folder)
    _localizer().write(folder, "a")


@handled("c02 localizer inside the series, other matrix", "LOCALIZER_DROPPED")
def _(folder: Path) -> None:
    scout = _localizer(Rows=128, PixelData=pattern(0, 128, 64).tobytes())
    mixed(make_series(), scout).write(folder)


@handled("c02b localizer inside the series, same matrix", "LOCALIZER_DROPPED")
def _(folder: Path) -> None:
    mixed(make_series(), _localizer()).write(folder)


def _dose_page() -> Series:
    page = make_series(1, name="dose", number=999)
    page.set(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SamplesPerPixel=3, PhotometricInterpretation="RGB")
    page.set(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(64 * 64 * 3))
    page.set(ImageType=["DERIVED", "SECONDARY"], SOPInstanceUID=uid("dose page"))
    return page.remove("ImagePositionPatient", "ImageOrientationPatient")


@handled("c03 dose page as its own series")
def _(folder: Path) -> None:
    make_series().write(folder)
    _dose_page().write(folder, "dose")


handled("c04 dose page inside the series", "OTHER_OBJECTS")(
    lambda folder: mixed(make_series(), _dose_page()).write(folder)
)


@handled("c05 arterial, lung kernel, reformat, thick and thin")
def _(folder: Path) -> None:
    make_series().write(folder)
    arterial().write(folder, "a")
    make_series(name="lung", ConvolutionKernel="B70f").write(folder, "b")
    make_series(name="mpr", description="portal venous MPR", ImageType=["DERIVED", "SECONDARY", "MPR"]).write(
        folder, "c"
    )
    make_series(100, name="thin", step_mm=1.0).write(folder, "d")


@refused("c05b two equal reconstructions", "AMBIGUOUS_SERIES")
def _(folder: Path) -> None:
    make_series().write(folder)
    make_series(name="twin").write(folder, "twin")


refused("c06 no SeriesDescription, timing only", "NO_PORTAL_SERIES")(
    lambda folder: make_series().remove("SeriesDescription").write(folder)
)
handled("c06b no SeriesDescription, timing and order")(
    lambda folder: (
        make_series(time="120060").remove("SeriesDescription").write(folder),
        arterial(time="120025").remove("SeriesDescription").write(folder, "a"),
    )
)
refused("c06c text against timing", "PHASE_CONFLICT")(lambda folder: make_series(time="120025").write(folder))


def _described(raw: bytes, charset: str | None) -> Series:
    series = make_series()
    if charset:
        series.set(SpecificCharacterSet=charset)
    return series.set(SeriesDescription="?" * (len(raw) + len(raw) % 2))


def _write_described(folder: Path, raw: bytes, charset: str | None) -> None:
    padded = raw + b" " * (len(raw) % 2)
    for path in _described(raw, charset).write(folder):
        _patch(path, b"?" * len(padded), padded)


handled("c07 GB18030 declared")(lambda folder: _write_described(folder, "腹部门静脉期".encode("gb18030"), "GB18030"))
handled("c08 GBK undeclared", "CHARSET_UNDECLARED")(
    lambda folder: _write_described(folder, "腹部门静脉期".encode("gb18030"), None)
)
handled("c09 unknown charset", "CHARSET_UNKNOWN")(
    lambda folder: _write_described(folder, b"portal \xe4\xf6", "ISO_IR 999")
)


@handled("c10 two studies of one patient", "ROLE_BY_DATE")
def _(folder: Path) -> None:
    make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", seed=4).write(folder / "a")
    make_series().write(folder / "b")


@refused("c10b two studies without PatientID", "PATIENT_ID_MISSING")
def _(folder: Path) -> None:
    make_series(study="later", StudyDate="20250401", AcquisitionDate="20250401", PatientID="").write(folder / "a")
    make_series(PatientID="").write(folder / "b")


@refused("c10c two studies at one time", "STUDY_ROLE_AMBIGUOUS")
def _(folder: Path) -> None:
    make_series(study="later").write(folder / "a")
    make_series().write(folder / "b")


@refused("c10d three studies", "TOO_MANY_STUDIES")
def _(folder: Path) -> None:
    for study in ("a", "b", "c"):
        make_series(study=study).write(folder / study)


@refused("c11 two patients in two studies", "PATIENT_MISMATCH")
def _(folder: Path) -> None:
    make_series().write(folder / "a")
    make_series(study="other", PatientID="P2", PatientName="Roe^Jane").write(folder / "b")


@refused("c12 two patients under one study", "PATIENT_MISMATCH")
def _(folder: Path) -> None:
    make_series().write(folder / "a")
    make_series(name="other", PatientID="P2").write(folder / "b")


refused("c13 two patients in one series", "PATIENT_MISMATCH")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PatientBirthDate", "19610101") if index > 9 else None)
        .write(folder)
    )
)
refused("c13b two names under one ID", "PATIENT_MISMATCH")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PatientName", "Roe^Jane") if index > 9 else None)
        .write(folder)
    )
)
handled("c13c one name in another case and with empty components")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PatientName", "DOE^JANE^^^") if index > 9 else None)
        .write(folder)
    )
)
handled("c14 no PatientPosition")(lambda folder: make_series().remove("PatientPosition").write(folder))
refused("c15 no CT", "NO_CT")(
    lambda folder: make_series(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR").write(folder)
)
refused("c16 coronal only", "NO_AXIAL_SERIES")(
    lambda folder: make_series(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]).write(folder)
)


# --- d: pixels ------------------------------------------------------------------------------------------------------
refused("d01 enhanced CT", "ENHANCED_UNSUPPORTED")(
    lambda folder: make_series(1, SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1").write(folder)
)


def _recoded(syntax: str, folder: Path) -> None:
    series = make_series()
    for item in series.slices:
        if syntax == pydicom.uid.ExplicitVRBigEndian:
            item.PixelData = np.frombuffer(item.PixelData, "<u2").astype(">u2").tobytes()
    if pydicom.uid.UID(syntax).is_encapsulated:
        for path in series.write(folder):
            _recode_with_gdcm(path, syntax)
        return
    series.syntax = syntax
    series.write(folder)


def _recode_with_gdcm(path: Path, syntax: str) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


for _row, _syntax in {
    "d02 JPEG lossless, first order": "1.2.840.10008.1.2.4.70",
    "d02b JPEG lossless": "1.2.840.10008.1.2.4.57",
    "d03 JPEG-LS": "1.2.840.10008.1.2.4.80",
    "d04 RLE": "1.2.840.10008.1.2.5",
    "d06 explicit big endian": "1.2.840.10008.1.2.2",
    "d07 implicit little endian": "1.2.840.10008.1.2",
    "d08 JPEG 2000 lossless": "1.2.840.10008.1.2.4.90",
}.items():
    handled(_row)(lambda folder, syntax=_syntax: _recoded(syntax, folder))

refused("d05 deflated", "TRANSFER_SYNTAX")(lambda folder: _recoded("1.2.840.10008.1.2.1.99", folder))
refused("d09 8-bit pixels", "BIT_DEPTH")(
    lambda folder: make_series(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(4096)).write(folder)
)
handled("d09b 16-bit with a lossy past", "LOSSY")(lambda folder: make_series(LossyImageCompression="01").write(folder))
refused("d10 no rescale", "RESCALE_MISSING")(
    lambda folder: make_series().remove("RescaleSlope", "RescaleIntercept").write(folder)
)
refused("d11 one slice with intercept 0", "RESCALE_VARIES")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "RescaleIntercept", 0) if index == 0 else None)
        .write(folder)
    )
)


@handled("d12 slope 0.5 from slice 5 on", "SLOPE_VARIES")
def _(folder: Path) -> None:
    def halve(index: int, item: Dataset) -> None:
        if index >= 5:
            item.RescaleSlope = 0.5
            item.PixelData = (np.frombuffer(item.PixelData, "<u2") * 2).astype("<u2").tobytes()

    make_series().each(halve).write(folder)


@handled("d13 padding of -2000", "PADDING_MAPPED")
def _(folder: Path) -> None:
    def pad(index: int, item: Dataset) -> None:
        values = np.frombuffer(item.PixelData, "<u2").astype("<i2") - 1024
        item.PixelData = np.where(values == -1000, -2000, values).astype("<i2").tobytes()
        item.PixelRepresentation, item.RescaleIntercept = 1, 0
        item.PixelPaddingValue = -2000

    make_series().each(pad).write(folder)


refused("d14 MONOCHROME1", "PHOTOMETRIC")(
    lambda folder: make_series(PhotometricInterpretation="MONOCHROME1").write(folder)
)


@refused("d15 decimal comma", "BAD_VALUE")
def _(folder: Path) -> None:
    for path in make_series().write(folder):
        _patch(path, b"0.78125\\0.78125", b"0,78125\\0,78125")


refused("d20 electron density instead of HU", "RESCALE_MISSING")(
    lambda folder: make_series(RescaleType="ED").write(folder)
)
handled("d21 unspecified Rescale Type", "RESCALE_TYPE")(lambda folder: make_series(RescaleType="US").write(folder))
handled("d22 no Rescale Type")(lambda folder: make_series().remove("RescaleType").write(folder))
refused("d16 no PixelData in one", "PIXEL_DATA")(
    lambda folder: (
        make_series().each(lambda index, item: delattr(item, "PixelData") if index == 4 else None).write(folder)
    )
)
refused("d17 PixelData too short in one", "PIXEL_DATA")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PixelData", item.PixelData[:-100]) if index == 4 else None)
        .write(folder)
    )
)


@refused("d17b bytes inserted before the pixels of one", "PIXEL_DATA")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW") + 12
    path.write_bytes(content[:at] + b"\x07\x04" * 3 + content[at:])


@handled("d17c zeros behind the pixels", "TRAILING_BYTES")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    path.write_bytes(path.read_bytes() + bytes(100))


handled("d17d an element behind the pixels")(
    lambda folder: make_series().set(DataSetTrailingPadding=bytes(100)).write(folder)
)
refused("d18 one slice all zero", "CONSTANT_SLICE")(
    lambda folder: (
        make_series()
        .each(lambda index, item: setattr(item, "PixelData", bytes(8192)) if index == 4 else None)
        .write(folder)
    )
)
refused("d19 HU out of range", "HU_RANGE")(lambda folder: make_series(RescaleSlope="40").write(folder))


# --- e: files -------------------------------------------------------------------------------------------------------
refused("e01 file cut in the pixels", "PIXEL_DATA")(lambda folder: _cut(make_series().write(folder)[4], -300))
refused("e02 file cut in the header", "FILE_UNREADABLE")(
    lambda folder: _cut_before(make_series().write(folder)[4], b"\x20\x00\x32\x00", 12)
)
refused("e02b last slice cut in the header", "FILE_UNREADABLE")(
    lambda folder: _cut_before(make_series().write(folder)[-1], b"\x20\x00\x32\x00", 12)
)
refused("e03 file cut in the meta header", "FILE_UNREADABLE")(lambda folder: _cut(make_series().write(folder)[4], 160))
refused("e04 one empty file", "FILE_UNREADABLE")(lambda folder: _cut(make_series().write(folder)[4], 0))
refused("e04b more slices missing than files damaged", "GAP")(
    lambda folder: _cut(make_series().drop(8, 9).write(folder)[0], 0)
)


@refused("e19 last slice cut inside the SOP class", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    path = make_series().write(folder)[-1]
    _cut(path, path.read_bytes().index(b"\x08\x00\x16\x00UI") + 15)


@handled("e20 file meta names another SOP Instance UID", "META_DIFFERS")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    content = path.read_bytes()
    at = content.index(b"\x02\x00\x03\x00UI") + 8
    path.write_bytes(content[: at + 30] + bytes([48 + (content[at + 30] - 47) % 10]) + content[at + 31 :])


@refused("e22 patient name without a type", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    _patch(make_series().write(folder)[4], b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00P\0")


@refused("e23 last slice cut, with an element without a type", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    path = make_series().write(folder)[-1]
    _patch(path, b"\x10\x00\x30\x00DA", b"\x10\x00\x30\x00D\0")
    _cut_before(path, b"\x20\x00\x32\x00", 12)


@refused("e21 an element that claims to be 4 GB long", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW")
    hostile = b"\x29\x00\x10\x10OB\0\0\xf0\xff\xff\xff"
    path.write_bytes(content[:at] + hostile + content[at:])


@handled("e04c damaged file of another series", "OTHER_SERIES_DAMAGED")
def _(folder: Path) -> None:
    make_series().write(folder)
    _cut_before(arterial().write(folder, "a")[3], b"\x20\x00\x32\x00", 12)


@handled("e05 no preamble")
def _(folder: Path) -> None:
    for path in make_series().write(folder):
        path.write_bytes(path.read_bytes()[128:])


@handled("e06 bare data set")
def _(folder: Path) -> None:
    for item in make_series().slices:
        path = folder / f"{item.InstanceNumber}.dcm"
        write_dataset(item, path, syntax="1.2.840.10008.1.2")
        content = path.read_bytes()
        (length,) = struct.unpack_from("<I", content, 140)
        path.write_bytes(content[144 + length :])


@handled("e07 foreign files", "FOREIGN_FILES")
def _(folder: Path) -> None:
    make_series().write(folder)
    (folder / "notes.txt").write_text("nothing")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 200)
    (folder / "page.pdf").write_bytes(b"%PDF-1.4\n")


@handled("e09 broken link and loop", "LINKS_SKIPPED")
def _(folder: Path) -> None:
    make_series().write(folder)
    (folder / "broken.dcm").symlink_to(folder / "absent")
    (folder / "loop").symlink_to(folder, target_is_directory=True)


@handled("e10 symlink loop", "LINKS_SKIPPED")
def _(folder: Path) -> None:
    make_series().write(folder)
    (folder / "first.dcm").symlink_to(folder / "second.dcm")
    (folder / "second.dcm").symlink_to(folder / "first.dcm")


@refused("e18 folders deeper than the limit", "LIMIT_EXCEEDED")
def _(folder: Path) -> None:
    make_series().write(folder.joinpath(*["d"] * 17))


@handled("e11 FIFO", "LINKS_SKIPPED")
def _(folder: Path) -> None:
    make_series().write(folder)
    os.mkfifo(folder / "pipe.dcm")


refused("e12 only foreign files", "NO_DICOM")(lambda folder: (folder / "a.txt").write_text("x"))
refused("e13 empty folder", "NO_DICOM")(lambda folder: None)


@refused("e14 random bytes behind the prefix", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    make_series().write(folder)
    noise = np.random.default_rng(5).bytes(3000)
    (folder / "noise").write_bytes(bytes(128) + b"DICM" + noise)


refused("e15 one file without SOPInstanceUID", "FILE_UNREADABLE")(
    lambda folder: (
        make_series().each(lambda index, item: delattr(item, "SOPInstanceUID") if index == 4 else None).write(folder)
    )
)


@handled("e16 private elements and odd file names")
def _(folder: Path) -> None:
    series = make_series()
    for item in series.slices:
        item.private_block(0x0029, "TEST", create=True).add_new(0x10, "UN", b"\x00\x01" * 40)
    for index, path in enumerate(series.write(folder)):
        os.rename(path, os.fsencode(folder) + "/影像".encode() + b"\xff" + str(index).encode())


@handled("e08 DICOMDIR and its neighbours", "FOREIGN_FILES")
def _(folder: Path) -> None:
    make_series().write(folder)
    index = Dataset()
    index.FileSetID = "TEST"
    index.SOPClassUID, index.SOPInstanceUID = "1.2.840.10008.1.3.10", uid("index")
    write_dataset(index, folder / "DICOMDIR")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    (folder / "more.zip").write_bytes(b"PK\x03\x04" + bytes(500))


@handled("e17 private elements in implicit VR")
def _(folder: Path) -> None:
    series = make_series()
    for item in series.slices:
        item.private_block(0x0029, "TEST", create=True).add_new(0x10, "UN", b"\x00\x01" * 40)
    series.syntax = "1.2.840.10008.1.2"
    series.write(folder)


# --- f: hostile files -----------------------------------------------------------------------------------------------
refused("f01 matrix of 65535", "LIMIT_EXCEEDED")(
    lambda folder: (
        make_series()
        .each(
            lambda index, item: (setattr(item, "Rows", 65535), setattr(item, "Columns", 65535)) if index == 3 else None
        )
        .write(folder)
    )
)


@refused("f02 deep nesting", "FILE_UNREADABLE")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    content = path.read_bytes()
    at = content.index(b"\x20\x00\x0d\x00UI", 200)
    start = b"\x18\x00\x12\x00SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    end = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
    path.write_bytes(content[:at] + start * 3000 + end * 3000 + content[at:])


refused("f03 deflated, decided on file meta", "TRANSFER_SYNTAX")(
    lambda folder: (
        _patch(make_series().write(folder)[3], b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.8.1"[:20])
        or _recoded("1.2.840.10008.1.2.1.99", folder)
    )
)
handled("f04 path in AccessionNumber")(lambda folder: make_series(AccessionNumber="../../x").write(folder))


@refused("f05 series UID is a path", "UID_INVALID")
def _(folder: Path) -> None:
    series = make_series()
    with pydicom.config.disable_value_validation():
        series.set(SeriesInstanceUID="../../..").write(folder)


@refused("f06 PixelData says 4 GB", "PIXEL_DATA")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    _patch(path, b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", 8192), b"\xe0\x7f\x10\x00OW\0\0" + b"\xfe\xff\xff\xff")


refused("f07 two thousand million frames", "LIMIT_EXCEEDED")(
    lambda folder: make_series(NumberOfFrames="2000000000").write(folder)
)


@refused("f08 RLE of 65535 squared", "LIMIT_EXCEEDED")
def _(folder: Path) -> None:
    _recoded("1.2.840.10008.1.2.5", folder)
    path = sorted(folder.iterdir())[3]
    for tag in (b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"):
        _patch(path, tag + b"\x40\x00", tag + b"\xff\xff")


@refused("f09 one element of 600 MB", "LIMIT_EXCEEDED")
def _(folder: Path) -> None:
    path = make_series().write(folder)[4]
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW")
    size = 600 * 1024**2
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\x29\x00\x10\x10OB\0\0" + struct.pack("<I", size))
        stream.seek(size, os.SEEK_CUR)  # a hole: nothing is written to the disk
        stream.write(content[at:])


refused("f10 SOP class says CT, item sequence unreadable", "FILE_UNREADABLE")(
    lambda folder: _cut(make_series().write(folder)[4], 300)
)
__all__ = ["HANDLED", "REFUSED", "Sequence"]
