"""``gastromap prepare --pairs``: options and run for scans before and after treatment."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gastromap.errors import UsageError

if TYPE_CHECKING:
    from gastromap.cohort.pair_pipeline import PairSummary
    from gastromap.cohort.splitting import SplitPlan
    from gastromap.dicom_input import GateSettings

__all__ = ["add_options", "given_options", "run"]

_NOTHING_USABLE = 3
#: Option to key of the column map.
_COLUMN_OPTIONS = {
    "image1": "scan before treatment: NIfTI file, or folder of a DICOM study; instead of a column, the name of the "
    "files with {} for the patient, such as {}/before.nii.gz (also masks and image2)",
    "mask1": "its tumour mask: NIfTI on its grid, or DICOM SEG",
    "image2": "scan after treatment; empty where there is none",
    "mask2": "its tumour mask",
    "study": "instead of images: folder with the DICOM studies of both dates (default: named after the patient)",
    "series1": "Series Instance UID of the first study, where it is known",
    "series2": "of the second study",
    "center1": "middle of the tumour, x, y, z in mm (LPS)",
    "center2": "in the second scan",
    "date1": "date of the first scan",
    "date2": "date of the second scan",
    "lnm": "node metastasis: 0/1, N0/N+, ypN, 阴性/阳性",
    "death": "0/1, alive/dead, 存活/死亡",
    "os_time": "survival or follow-up",
    "split_column": "training, validation, test as given",
    "fold": "number of a fold as given",
}
_OTHER_OPTIONS = ("columns", "os_unit", "clinical", "missing", "mask_label", "mask_by_voxel", "axes")
#: Options that only slices have.
_OF_SLICES = ("stage", "size", "size_unit", "differentiation", "lauren", "match", "image", "series", "key_slice")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of pairs."""
    group = parser.add_argument_group("pairs")
    group.add_argument("--pairs", action="store_true", help="scans before and after treatment, not key slices")
    group.add_argument("--columns", type=Path, metavar="YAML", help="column map, see docs/cohort.md; options go first")
    for name, text in _COLUMN_OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="COLUMN", help=text)
    group.add_argument(
        "--os-unit", choices=("months", "days"), help="of --os-time (default: in the name of the column)"
    )
    group.add_argument(
        "--clinical", action="append", default=[], metavar="NAME=COLUMN:TYPE",
        help="numeric, categorical, or ordinal:LOW,…,HIGH; repeatable",
    )  # fmt: skip
    group.add_argument("--missing", action="append", default=[], metavar="CELL", help="means unknown; repeatable")
    group.add_argument("--mask-label", type=int, metavar="N", help="value of the tumour in masks of several values")
    group.add_argument(
        "--mask-by-voxel", action="store_true", help="masks have the arrays of their images, whatever their headers say"
    )
    group.add_argument("--axes", metavar="LPS", help="of NIfTI without orientation: where its axes rise")


def given_options(arguments: argparse.Namespace) -> list[str]:
    """Options of pairs that were given."""
    names = [name for name in (*_COLUMN_OPTIONS, *_OTHER_OPTIONS) if getattr(arguments, name) not in (None, [], False)]
    return [f"--{name.replace('_', '-')}" for name in names]


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("PREPARE_ARGUMENTS", where="arguments", expected=expected, got=got, remedy=remedy)


def run(arguments: argparse.Namespace, *, out: Path, identities: Path, split: SplitPlan, settings: GateSettings) -> int:
    """Prepare pairs.

    Parameters
    ----------
    arguments : Namespace
    out, identities : Path
    split : SplitPlan
    settings : GateSettings

    Returns
    -------
    code : int
        Exit code.
    """
    from gastromap.cli._prepare_print import with_bar
    from gastromap.cohort.labels import parse_words
    from gastromap.cohort.pair_column_file import read_column_file
    from gastromap.cohort.pair_columns import parse_clinical, resolve_columns
    from gastromap.cohort.pair_images import MaskRule
    from gastromap.cohort.pair_pipeline import PairPlan, prepare_pairs
    from gastromap.cohort.spreadsheet import plain, read_table

    foreign = [name for name in _OF_SLICES if getattr(arguments, name) is not None]
    if foreign:
        _refuse(
            "options of pairs", f"--{foreign[0].replace('_', '-')}", "It belongs to key slices: drop it or --pairs."
        )
    file: dict[str, Any] = read_column_file(arguments.columns) if arguments.columns else {}
    path = arguments.table or file.get("table")
    if path is None:
        _refuse("--table FILE", "none", "Name it, or give it in the file of --columns.")
    axes = arguments.axes.upper() if arguments.axes else None
    if axes is not None and (len(axes) != 3 or {frozenset("LR"), frozenset("AP"), frozenset("SI")} != _pairs(axes)):
        _refuse("three letters for --axes, such as LPS", "others", "Name one of L or R, one of A or P, one of S or I.")
    table = read_table(
        path,
        sheet=arguments.sheet or file.get("sheet"),
        header_row=arguments.header_row or file.get("header_row") or 1,
        keep_words=True,
    )
    named = {
        "patient_id": arguments.patient, "cohort": arguments.centre, "split": arguments.split_column,
        **{name: getattr(arguments, name) for name in _COLUMN_OPTIONS if name != "split_column"},
    }  # fmt: skip
    columns = resolve_columns(
        table,
        {**file.get("columns", {}), **{key: name for key, name in named.items() if name}},
        os_unit=arguments.os_unit or file.get("os_unit"),
        clinical=(*file.get("clinical", ()), *map(parse_clinical, arguments.clinical)),
        missing=(*file.get("missing_values", ()), *map(plain, arguments.missing)),
        words=parse_words([*file.get("words", ()), *arguments.word]),
    )
    label = file.get("mask_label") if arguments.mask_label is None else arguments.mask_label
    plan = PairPlan(
        table=path,
        images=arguments.images or file.get("images"),
        out=out,
        identities=identities,
        columns=columns,
        rule=MaskRule(label, arguments.mask_by_voxel),
        axes=axes,
        split=split,
        settings=settings,
        workers=arguments.workers,
        patient_seconds=arguments.study_seconds,
    )
    if plan.images is not None and not plan.images.is_dir():
        _refuse("a readable folder for --images", "none of that name", "Check the path.")
    summary = with_bar(lambda show: prepare_pairs(plan, table, progress=show), unit="patient", quiet=arguments.quiet)
    _print(summary, arguments.out, identities)
    return 0 if summary.used else _NOTHING_USABLE


def _pairs(axes: str) -> set[frozenset[str]]:
    known = (frozenset("LR"), frozenset("AP"), frozenset("SI"))
    return {pair for letter in axes for pair in known if letter in pair}


def _print(summary: PairSummary, out: Path, identities: Path) -> None:
    from gastromap.cli._prepare_print import print_findings
    from gastromap.cohort.pair_summary import COUNTS

    print(f"table      {summary.rows} rows, {summary.patients} patients")
    print(f"scans      of {summary.read} patients read now")
    print(f"datalist   {summary.used} patients, {summary.patients - summary.used} left out")
    if summary.lines:
        print("\n" + f"{'':12}" + "".join(f"{name:>{len(name) + 2}}" for name in COUNTS))
        for part, numbers in summary.lines:
            cells = (f"{n:{len(name) + 2}d}" for name, n in zip(COUNTS, numbers, strict=True))
            print(f"{part:12}" + "".join(cells))
    print_findings(summary.findings, with_cells=True)
    print(f"\ndetails    {out / 'reconciliation.html'}")
    print(f"identities {identities}  (patient data, readable by you only; keep it apart from the images)")
