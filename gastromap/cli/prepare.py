"""``gastromap prepare``: from studies and a spreadsheet to a datalist, a split and a reconciliation."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from gastromap.cli import _prepare_pairs
from gastromap.cores import usable_cores
from gastromap.errors import UsageError

if TYPE_CHECKING:
    from gastromap.cohort.matching import Columns
    from gastromap.cohort.pipeline import CohortSummary
    from gastromap.cohort.spreadsheet import Table
    from gastromap.cohort.units import MatchRule

__all__ = ["add_options", "register", "run"]

_DESCRIPTION = """Make a datalist for training from a folder of studies and a table (xlsx or CSV, in any script): match
patients, find portal-venous series and key slice as the application does, read stages and clinical values, split by
patient, and report what does not fit. A stopped run goes on with the same command; finished studies are not read again,
and patients keep their split. Names of files, messages and reports hold pseudonyms; one file, outside the prepared
folder, ties them to patients. With --pairs, scans before and after treatment for the longitudinal model: crops or
volumes as NIfTI, or DICOM studies, with masks, node metastasis and survival."""
_EPILOG = """writes to DIR: datalist.json, images/, clinical.csv, split.csv, reconciliation.html, reconciliation.csv,
records/, cohort.json. exit codes: 0 done, 2 wrong arguments, 3 nothing usable, 12 output not writable.

example: gastromap prepare --images STUDIES --table cohort.xlsx --out DATA --patient 住院号 --stage 病理T分期
--size "肿瘤大小(cm)" --differentiation 分化程度 --lauren Lauren分型 --word differentiation:中低分化=poor

pairs: gastromap prepare --pairs --table cohort.xlsx --images CROPS --out DATA --patient 编号 --image1 治疗前CT
--mask1 治疗前分割 --image2 治疗后CT --mask2 治疗后分割 --lnm 淋巴结转移 --death 生存状态 --os-time 生存时间
--os-unit days --clinical age=年龄 --clinical sex=性别:categorical (or --columns cohort.yaml for all of it)"""
_NOTHING_USABLE = 3
_ADVICE = {
    "patient-id": "If the folders are named after them, give --match name.",
    "name": "If PatientID of the images has them, give --match patient-id.",
    "image": "The column of --image must hold paths below --images, or names of folders or files.",
}


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "prepare",
        parents=[common],
        help="make a datalist from a folder of studies and a spreadsheet",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of the command."""
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the studies (pairs: default: of the table)"
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="xlsx or CSV, one row a patient")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="empty folder, or one to be continued")
    parser.add_argument(
        "--identities", type=Path, metavar="FILE",
        help="file that ties pseudonyms to patients, mode 0600 (default: beside the folder, DIR_identities.csv)",
    )  # fmt: skip
    table = parser.add_argument_group("table")
    table.add_argument("--sheet", metavar="NAME", help="of the xlsx file (default: the first)")
    table.add_argument(
        "--header-row", type=int, metavar="N",
        help="with the names, the lower one of two with merged cells (default: 1)",
    )  # fmt: skip
    table.add_argument("--patient", metavar="COLUMN", help="identifier (default: PatientID, patient_id, patient or ID)")
    table.add_argument("--stage", metavar="COLUMN", help="T stage (default: pT, T stage or stage)")
    table.add_argument("--stage-codes", type=int, choices=(0, 1), default=1, help="number of T1 (default: %(default)s)")
    table.add_argument("--centre", metavar="COLUMN", help="hospital: the split is even over centres too")
    table.add_argument("--size", metavar="COLUMN", help="tumour size")
    table.add_argument("--size-unit", choices=("cm", "mm"), help="(default: from the cells or the name of the column)")
    table.add_argument(
        "--differentiation", metavar="COLUMN", help="well, moderate, poor; 高分化, 中分化, 低分化; G1 to G3"
    )
    table.add_argument("--lauren", metavar="COLUMN", help="intestinal, diffuse, mixed; 肠型, 弥漫型, 混合型")
    table.add_argument(
        "--word", action="append", default=[], metavar="VARIABLE:CELL=LEVEL",
        help="what a cell means, for stage, differentiation, lauren, lnm, death or split; repeatable",
    )  # fmt: skip
    images = parser.add_argument_group("images")
    images.add_argument("--format", choices=("dicom", "nifti", "png"), default="dicom", help="(default: %(default)s)")
    images.add_argument(
        "--match", choices=("patient-id", "name"),
        help="the identifier is PatientID of the images, or the name of folder or file "
        "(default: patient-id for dicom, else name)",
    )  # fmt: skip
    images.add_argument(
        "--image", metavar="COLUMN", help="the column that names folder or file; rows may share a patient"
    )
    images.add_argument(
        "--depth", type=int, default=1, metavar="N",
        help="dicom: study folders lie N levels below --images (default: %(default)s)",
    )  # fmt: skip
    images.add_argument("--series", metavar="COLUMN", help="Series Instance UID, where it is known")
    images.add_argument(
        "--key-slice", metavar="COLUMN", help="SOP Instance UID, or index from the feet (0 first), where it is known"
    )
    images.add_argument("--slices", type=int, choices=(1, 3), default=3, help="with neighbours or without")
    images.add_argument("--config", type=Path, metavar="YAML", help="limits of the input gate")
    images.add_argument("--png-spacing", type=float, metavar="MM", help="png: size of a pixel")
    images.add_argument(
        "--png-window", default="50,350", metavar="LEVEL,WIDTH", help="png: HU of the greys (default: %(default)s)"
    )
    split = parser.add_argument_group("split")
    split.add_argument(
        "--split", default="70,15,15", metavar="A,B,C", help="training, validation, test (default: %(default)s)"
    )
    split.add_argument(
        "--test-centre", action="append", default=[], metavar="NAME", help="all its patients are test; repeatable"
    )
    split.add_argument("--seed", type=int, default=0, metavar="S", help="of the split (default: %(default)s)")
    _prepare_pairs.add_options(parser)
    how = parser.add_argument_group("run")
    how.add_argument(
        "--workers", type=int, default=usable_cores(), metavar="N", help="processes (default: all %(default)s)"
    )
    how.add_argument("--study-seconds", type=float, default=900, metavar="S", help="a study may take (%(default)s)")
    how.add_argument("--quiet", action="store_true", help="no progress bar")


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("PREPARE_ARGUMENTS", where="arguments", expected=expected, got=got, remedy=remedy)


def _numbers(text: str, count: int, name: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        _refuse(f"{count} numbers with commas for {name}", "something else", "See gastromap prepare --help.")
    return values


def _columns(arguments: argparse.Namespace, table: Table) -> Columns:
    from gastromap.cohort.labels import parse_words
    from gastromap.cohort.matching import PATIENT_NAMES, STAGE_NAMES, Columns

    patient = table.column(arguments.patient) if arguments.patient else table.usual(PATIENT_NAMES)
    stage = table.column(arguments.stage) if arguments.stage else table.usual(STAGE_NAMES)
    if patient is None or stage is None:
        option = "--patient" if patient is None else "--stage"
        _refuse(f"{option} COLUMN", "none of the usual names", f"Columns are: {', '.join(table.columns)}.")
    names = ("centre", "size", "differentiation", "lauren", "series", "key_slice", "image")
    named = {name: table.column(getattr(arguments, name)) for name in names if getattr(arguments, name)}
    return Columns(
        patient=patient,
        stage=stage,
        **named,
        size_unit=arguments.size_unit or _unit(named.get("size", "")),
        stage_codes=arguments.stage_codes,
        words=parse_words(arguments.word),
    )


def _unit(column: str) -> Literal["cm", "mm"] | None:
    found = set(re.findall(r"(?<![a-z])(cm|mm)(?![a-z])|(厘米)|(毫米)", column.casefold()))
    units = {"mm" if "mm" in match or "毫米" in match else "cm" for match in found}
    if len(units) != 1:
        return None
    return "mm" if "mm" in units else "cm"


def run(arguments: argparse.Namespace) -> int:
    """Prepare a cohort; the arguments are those of :func:`add_options`."""
    from gastromap.cli._prepare_print import with_bar
    from gastromap.cohort.pipeline import PreparePlan, prepare_cohort
    from gastromap.cohort.splitting import SplitPlan
    from gastromap.cohort.spreadsheet import plain, read_table
    from gastromap.dicom_input import GateSettings
    from gastromap.dicom_input.configuration import read_gate_settings

    header_row = 1 if arguments.header_row is None else arguments.header_row
    if arguments.workers < 1 or arguments.depth < 0 or header_row < 1 or arguments.study_seconds <= 0:
        _refuse("numbers from 1 (--depth from 0)", "less", "Correct the argument.")
    shares = _numbers(arguments.split, 3, "--split")
    split = SplitPlan((shares[0], shares[1], shares[2]), tuple(map(plain, arguments.test_centre)), arguments.seed)
    out = Path(os.path.abspath(arguments.out))
    identities = arguments.identities or out.with_name(f"{out.name}_identities.csv")
    if out in Path(os.path.abspath(identities)).parents:
        _refuse(
            "--identities outside --out", "inside", "Folders of training data are passed on; that file must not be."
        )
    settings = read_gate_settings(arguments.config)[0] if arguments.config else GateSettings()
    if arguments.pairs:
        return _prepare_pairs.run(arguments, out=out, identities=identities, split=split, settings=settings)
    foreign = _prepare_pairs.given_options(arguments)
    if foreign:
        _refuse(f"--pairs with {foreign[0]}", "none", "Add --pairs, or drop the option.")
    if arguments.images is None or arguments.table is None:
        _refuse("--images and --table", "one of them missing", "Name both.")
    if arguments.image and arguments.match:
        _refuse("either --image or --match", "both", "Drop one of them.")
    table = read_table(arguments.table, sheet=arguments.sheet, header_row=header_row)
    level, width = _numbers(arguments.png_window, 2, "--png-window")
    usual: MatchRule = "patient-id" if arguments.format == "dicom" else "name"
    match: MatchRule = "image" if arguments.image else arguments.match or usual
    plan = PreparePlan(
        images=arguments.images,
        out=out,
        identities=identities,
        columns=_columns(arguments, table),
        kind=arguments.format,
        match=match,
        depth=arguments.depth,
        slices=arguments.slices,
        split=split,
        settings=settings,
        png_spacing_mm=arguments.png_spacing,
        png_window=(level, width),
        workers=arguments.workers,
        study_seconds=arguments.study_seconds,
    )
    summary = with_bar(lambda show: prepare_cohort(plan, table, progress=show), unit="study", quiet=arguments.quiet)
    _print(summary, arguments.out, identities)
    if sum(finding.code == "ROW_WITHOUT_IMAGES" for finding in summary.findings) == summary.patients:
        print(f"\nNo identifier of the table belongs to a study (--match {match}). {_ADVICE[match]}")
    return 0 if summary.used else _NOTHING_USABLE


def _print(summary: CohortSummary, out: Path, identities: Path) -> None:
    from gastromap.cli._prepare_print import print_findings

    print(f"table      {summary.rows} rows, {summary.patients} patients")
    print(f"images     {summary.studies} studies, {summary.read} read now")
    print(f"datalist   {summary.used} patients, {summary.patients - summary.used} left out")
    if summary.splits:
        print("\n" + f"{'':12}{'T1':>5}{'T2':>5}{'T3':>5}{'T4':>5}{'all':>7}")
        for name in ("training", "validation", "test"):
            counts = summary.splits.get(name, (0, 0, 0, 0))
            print(f"{name:12}" + "".join(f"{count:5d}" for count in counts) + f"{sum(counts):7d}")
    print_findings(summary.findings)
    print(f"\ndetails    {out / 'reconciliation.html'}")
    print(f"identities {identities}  (patient data, readable by you only; keep it apart from the images)")
