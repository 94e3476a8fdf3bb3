"""``gastromap synth``: write a synthetic cohort."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gastromap.cores import usable_cores

__all__ = ["register"]

_DESCRIPTION = """Write synthetic gastric-cancer patients: demonstration, tests and benchmarks, never patients.
The same seed gives the same bytes, whatever the number of workers; a stopped run continues with the same command."""

_EPILOG = """formats:
  dicom   one study a patient as a PACS would send it (localizer, arterial, portal-venous, delayed, lung kernel,
          coronal reformat, dose page), beside it the clinical file of the application
  nifti   portal-venous CT cropped to the stomach, mask 1 stomach 2 tumour
  slices  key slice with the slices below and above, tumour mask; the input of `train`
Every format comes with clinical.csv (one row a patient) and datalist.json (MONAI layout, split by patient:
centres 1 and 2 train and validate, centre 3 is the test).

with --longitudinal, each patient has a scan before chemotherapy (the same as without it) and one after it:
  dicom   two studies a patient, studies/PATIENT/baseline and studies/PATIENT/followup
  nifti   two cubes of 144 mm round the tumour at 1 x 1 x 2 mm, mask 1 tumour (empty after a complete response)
clinical.csv has files, dates, node metastasis (lnm), death and os_months, and the clinical variables. The true hazard
stands in oracle/, not in these tables; how well it and the size of nodes discriminate is printed.

examples:
  gastromap synth --patients 1 --seed 7 --out study --centre 1 --with-seg
  gastromap synth --patients 300 --seed 7 --out cohort --format slices --workers 2
  gastromap synth --patients 300 --seed 7 --out pairs --format nifti --longitudinal --missing-followup 0.1"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "synth",
        parents=[common],
        help="write a synthetic cohort (DICOM studies, NIfTI crops or training slices)",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="empty folder, or one to be continued")
    parser.add_argument("--patients", type=int, default=1, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="decides everything (default: %(default)s)")
    parser.add_argument(
        "--format", choices=("dicom", "nifti", "slices"), default="dicom", help="see below (default: %(default)s)"
    )
    parser.add_argument(
        "--centre",
        type=int,
        nargs="+",
        choices=(1, 2, 3),
        default=[1, 2, 3],
        help="scanners and header habits; patients take turns (default: all three)",
    )
    parser.add_argument(
        "--stage",
        nargs="+",
        choices=("T1", "T2", "T3", "T4"),
        help="stages to draw (default: all four, balanced; T2 to T4 with --longitudinal)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=_cores(),
        metavar="N",
        help="processes (default: free cores up to 4, %(default)s)",
    )
    parser.add_argument(
        "--longitudinal", action="store_true", help="a second date after chemotherapy (dicom and nifti), see below"
    )
    parser.add_argument(
        "--missing-followup",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="longitudinal: patients without second scan (default: %(default)s)",
    )
    parser.add_argument("--with-seg", action="store_true", help="add a tumour DICOM SEG to each study (dicom only)")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="format nifti: the whole field of view instead of the stomach's (nifti only)",
    )
    parser.add_argument(
        "--close",
        action="store_true",
        help="format nifti: only the slices of the stomach, in less than half the time (nifti only)",
    )
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.2,
        metavar="X",
        help="part of the patients of centres 1 and 2 that validate (default: %(default)s)",
    )
    parser.add_argument(
        "--matrix", type=int, default=512, metavar="N", help="rows and columns of an image (default: %(default)s)"
    )
    parser.add_argument(
        "--thickness",
        type=float,
        metavar="MM",
        help="slice thickness instead of the centre's own (1, 1.5, 3 or 5 / 3 / 1 to 2 mm)",
    )
    parser.add_argument(
        "--slices",
        type=int,
        choices=(1, 3),
        default=3,
        help="format slices: 3 writes the neighbours of the key slice too (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_run)


def _cores() -> int:
    return min(usable_cores(), 4)


def _run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    options = {
        "seed": arguments.seed,
        "format": arguments.format,
        "centres": tuple(dict.fromkeys(arguments.centre)),
        "matrix": arguments.matrix,
        "thickness_mm": arguments.thickness,
        "with_seg": arguments.with_seg,
        "slices": arguments.slices,
    }
    if arguments.stage:
        options["stages"] = tuple(dict.fromkeys(arguments.stage))
    with tqdm(total=arguments.patients, unit="patient", disable=arguments.quiet or None) as bar:

        def show(done: int, _: int) -> None:
            bar.update(done - bar.n)

        write = _write_pairs if arguments.longitudinal else _write_single
        text = write(
            arguments,
            options,
            patients=arguments.patients,
            workers=arguments.workers,
            validation_share=arguments.validation_share,
            progress=show,
        )
    print(f"{arguments.patients} synthetic patients, format {arguments.format}{text}")
    return 0


def _write_single(arguments: argparse.Namespace, options: dict[str, Any], **how: Any) -> str:
    from gastromap.errors import UsageError
    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    if arguments.missing_followup:
        raise UsageError(
            "SYNTH_ARGUMENT",
            where="missing follow-up",
            expected="0 without --longitudinal",
            got=str(arguments.missing_followup),
            remedy="Add --longitudinal.",
        )
    write_cohort(CohortPlan(**options, whole=arguments.whole, close=arguments.close), arguments.out, **how)
    return ""


def _write_pairs(arguments: argparse.Namespace, options: dict[str, Any], **how: Any) -> str:
    from gastromap.errors import UsageError
    from gastromap.synthetic.longitudinal import LongitudinalPlan, write_longitudinal
    from gastromap.synthetic.oracle import describe

    for name in ("whole", "close"):
        if getattr(arguments, name):
            remedy = f"Leave --{name} out: pairs are cubes around the tumour."
            raise UsageError(
                "SYNTH_ARGUMENT", where=name, expected=f"no --longitudinal with --{name}", got="both", remedy=remedy
            )
    plan = LongitudinalPlan(**options, missing_followup=arguments.missing_followup)
    return ", before and after chemotherapy\n" + describe(write_longitudinal(plan, arguments.out, **how))
