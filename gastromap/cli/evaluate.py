"""``gastromap evaluate``: statistics of a predictions table, or of a bundle on a datalist, with page and figures."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gastromap.cli import _survival_options
from gastromap.errors import UsageError

if TYPE_CHECKING:
    from gastromap.evaluation.assemble import EvaluationPlan
    from gastromap.evaluation.endpoint import EndpointColumns
    from gastromap.evaluation.subgroups import Subgroup
    from gastromap.evaluation.survival.report import SurvivalPlan

__all__ = ["register"]

_DESCRIPTION = """Evaluate a predictions table (one row a case), or run a bundle over a split by the rules of the
application (three slices, vote, calibration) and evaluate its predictions. A table with os_months, death and os_risk is
evaluated for survival too. Writes evaluation.json, report.html, tables
(CSV) and figures (PNG, SVG); a bundle run also writes predictions.csv and metrics.json. All intervals come from
resampling whole patients."""
_EPILOG = """example: gastromap evaluate --predictions p.csv --truth pT --probabilities p1,p2,p3,p4 --patient ID
--endpoint "node metastasis=pN:N1|N2|N3,node_score,0.4" --reader "A=reader_a,reader_a_with_model" --subgroup sex
--subgroup age:50,70 --versus other.csv --case slice --out OUT"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        parents=[common],
        help="evaluate a predictions table or a bundle, with page and figures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder without an earlier result")
    table = parser.add_argument_group("a predictions table")
    table.add_argument("--predictions", type=Path, metavar="FILE", help="CSV or xlsx")
    table.add_argument("--truth", metavar="COLUMN", help="true stage (default: stage, true_label or label)")
    table.add_argument("--probabilities", metavar="C1,C2,C3,C4", help="T1 to T4 (default: prob_T1 …, T1 … or prob_0 …)")
    table.add_argument("--predicted", metavar="COLUMN", help="predicted stage (default: predicted; else the likeliest)")
    table.add_argument("--patient", metavar="COLUMN", help="patient (default: PatientID or patient_id)")
    table.add_argument(
        "--case", metavar="COLUMN", help="tells the rows apart, to match --versus (default: the patient)"
    )
    table.add_argument("--versus", type=Path, metavar="FILE", help="table of another model: same cases, same columns")
    table.add_argument("--reader", action="append", default=[], metavar="NAME=ALONE[,WITH_MODEL]", help="repeatable")
    table.add_argument(
        "--endpoint", action="append", default=[], metavar="NAME=LABEL[:CELL|CELL],SCORE[,THRESHOLD]",
        help="a further binary endpoint: label column, cells that are positive (default: 1, yes, true, positive), "
        "score column, decision threshold (default: 0.5 for a probability; youden: from --training); repeatable",
    )  # fmt: skip
    table.add_argument(
        "--subgroup", action="append", default=[], metavar="COLUMN[:CUT,CUT]", help="levels or ranges; repeatable"
    )
    _survival_options.add_arguments(parser)
    bundle = parser.add_argument_group("a bundle")
    bundle.add_argument("--data", type=Path, metavar="DIR", help="folder with datalist.json")
    bundle.add_argument("--model", type=Path, default=Path("bundles"), metavar="DIR", help="(default: %(default)s)")
    bundle.add_argument("--split", choices=("training", "validation", "test"), default="test")
    both = parser.add_argument_group("both")
    both.add_argument("--positive", default="T3,T4", metavar="STAGES", help="of the binary endpoint (default: T3,T4)")
    both.add_argument("--name", default="model", help="of the model, for the page (default: %(default)s)")
    both.add_argument("--versus-name", default="second model", metavar="NAME", help="(default: %(default)s)")
    both.add_argument("--title", default="Evaluation", help="of the page; no patient data (default: %(default)s)")
    both.add_argument("--resamples", type=int, default=1000, metavar="N", help="(default: %(default)s)")
    both.add_argument("--level", type=float, default=0.95, help="of the intervals (default: %(default)s)")
    both.add_argument("--seed", type=int, default=0, metavar="S", help="of the bootstrap")
    parser.set_defaults(run=_run)


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    raise UsageError("EVALUATE_ARGUMENTS", where="arguments", expected=expected, got=got, remedy=remedy)


def _endpoint(text: str) -> EndpointColumns:
    from gastromap.evaluation.endpoint import EndpointColumns

    name, _, rest = text.partition("=")
    parts = [part.strip() for part in rest.split(",")]
    if not name.strip() or len(parts) not in (2, 3) or not all(parts):
        _refuse("--endpoint NAME=LABEL,SCORE[,THRESHOLD]", "another form", "See gastromap evaluate --help.")
    label, _, cells = parts[0].partition(":")
    youden = parts[2:] == ["youden"]
    try:
        threshold = float(parts[2]) if len(parts) == 3 and not youden else None
    except ValueError:
        _refuse("a number as threshold", "something else", "See gastromap evaluate --help.")
    positive = tuple(cell.strip() for cell in cells.split("|") if cell.strip())
    return EndpointColumns(name.strip(), label, parts[1], positive, threshold, youden)


def _reader(text: str) -> tuple[str, tuple[str, str | None]]:
    name, _, rest = text.partition("=")
    parts = [part.strip() for part in rest.split(",")]
    if not name.strip() or len(parts) > 2 or not all(parts):
        _refuse("--reader NAME=ALONE[,WITH_MODEL]", "another form", "Name one or two columns.")
    return name.strip(), (parts[0], parts[1] if len(parts) == 2 else None)


def _subgroup(text: str) -> Subgroup:
    from gastromap.evaluation.subgroups import Subgroup

    column, _, cuts = text.partition(":")
    try:
        return Subgroup(column.strip(), tuple(float(cut) for cut in cuts.split(",") if cut.strip()))
    except ValueError:
        _refuse("numbers as cuts, for example age:50,70", "something else", "Correct the cuts.")


def _plan(arguments: argparse.Namespace, survival: SurvivalPlan | None) -> EvaluationPlan:
    from gastromap.evaluation.assemble import EvaluationPlan
    from gastromap.evaluation.table import Columns

    readers = [_reader(text) for text in arguments.reader]
    if len(dict(readers)) != len(readers):
        _refuse("each reader once", "a name twice", "Give alone and with model in one --reader.")
    columns = arguments.probabilities
    return EvaluationPlan(
        columns=Columns(
            truth=arguments.truth,
            probabilities=None if columns is None else tuple(name.strip() for name in columns.split(",")),
            predicted=arguments.predicted,
            patient=arguments.patient,
            case=arguments.case,
        ),
        positive=tuple(stage.strip().upper() for stage in arguments.positive.split(",")),
        endpoints=tuple(_endpoint(text) for text in arguments.endpoint),
        readers=dict(readers),
        subgroups=tuple(_subgroup(text) for text in arguments.subgroup),
        endpoint_nomograms=_survival_options.endpoint_nomograms(arguments),
        survival=survival,
        names=(arguments.name, arguments.versus_name),
        resamples=arguments.resamples,
        level=arguments.level,
        seed=arguments.seed,
    )


def _run(arguments: argparse.Namespace) -> int:
    from datetime import date

    if (arguments.predictions is None) == (arguments.data is None):
        _refuse("either --predictions or --data", "both or none", "Name one of them.")
    of_table: tuple[str, ...] = (
        "versus",
        "reader",
        "endpoint",
        "subgroup",
        "truth",
        "probabilities",
        "predicted",
        "patient",
        "case",
    )
    of_table += _survival_options.OPTIONS
    given = [name for name in of_table if getattr(arguments, name)]
    if arguments.data is not None and given:
        _refuse(
            f"a predictions table for --{given[0].replace('_', '-')}", "a bundle", "Use the predictions.csv of its run."
        )
    from gastromap.evaluation.assemble import evaluate_table
    from gastromap.evaluation.writing import check_output, write_evaluation

    survival = None if arguments.predictions is None else _survival_options.survival_plan(arguments)
    plan = _plan(arguments, survival)
    check_output(arguments.out)
    further: dict[str, bytes] = {}
    bundle: dict[str, Any] | None = None
    source = arguments.predictions
    with tempfile.TemporaryDirectory(prefix="gastromap-evaluate-") as scratch:
        if arguments.data is not None:
            bundle = _run_bundle(arguments, Path(scratch))
            source = Path(scratch) / "predictions.csv"
            further = {name: (Path(scratch) / name).read_bytes() for name in ("predictions.csv", "metrics.json")}
        report = evaluate_table(
            source,
            plan,
            versus=arguments.versus,
            training=arguments.training,
            further=_survival_options.further_tables(arguments),
            title=arguments.title,
            created=date.today().isoformat(),
        )
    report["bundle"] = None if bundle is None else {key: bundle.get(key) for key in ("prediction_sets", "grad_cam")}
    write_evaluation(report, arguments.out, further=further)
    _print(report, bundle)
    return 0


def _run_bundle(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    from tqdm import tqdm

    from gastromap.training.datalist import read_datalist
    from gastromap.training.evaluating import evaluate_bundle

    with tqdm(total=len(read_datalist(arguments.data)[arguments.split]), unit="patient") as bar:
        return evaluate_bundle(
            arguments.model,
            arguments.data,
            scratch,
            split=arguments.split,
            seed=arguments.seed,
            progress=lambda: (bar.update(), None)[1],
        )


def _line(name: str, entry: dict[str, float | None]) -> str:
    value, low, high = (
        "-" if number is None else f"{number:.3f}" for number in map(entry.get, ("value", "low", "high"))
    )
    return f"{name:18s} {value}  ({low} to {high})"


def _print(report: dict[str, Any], bundle: dict[str, Any] | None) -> None:
    if report["stages"]:
        metrics = report["stages"]["metrics"]
        print(_line("macro_auc", metrics["auc"]["macro"]))
        print(_line("accuracy", metrics["accuracy"]))
        print(_line("kappa_quadratic", metrics["kappa"]["quadratic"]))
    for endpoint in report["endpoints"]:
        print(_line(f"AUC {endpoint['name']}", endpoint["metrics"]["auc"]))
    for cohort in report["survival"]["cohorts"] if report["survival"] else ():
        for model in cohort["models"]:
            name = f"C {model['name']}" + (f", {cohort['name']}" if len(report["survival"]["cohorts"]) > 1 else "")
            print(_line(name, model["metrics"]["harrell_c"]))
    if bundle is None:
        return
    if "grad_cam" in bundle:
        cam = bundle["grad_cam"]
        print(f"Heat map Dice      {cam['dice']:.3f}  (centred disc of equal area {cam['dice_of_centred_disc']:.3f})")
    sets = bundle["prediction_sets"]
    low, high, nominal = sets["coverage_low"], sets["coverage_high"], sets["nominal"]
    print(
        f"prediction sets    {sets['coverage']:.3f}  ({low:.3f} to {high:.3f}) hold the stage (nominal {nominal:.2f})"
    )
    print(f"calibration error  {sets['calibration_error']:.3f}  (plain softmax {sets['calibration_error_before']:.3f})")
    print(f"confidently staged {sets['confidently_staged']:.3f}")
