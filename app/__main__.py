"""``python -m app -i IN -o OUT``: stage one study, or compare two of a patient.

Errors a user can cause are found before the heavy imports where that is possible; every error is one line on
stderr, printed last, with its exit code.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import Options, parse_options
from gastromap.errors import ExitCode, GastromapError
from gastromap.results import Comparison, StudyResult

if TYPE_CHECKING:
    from gastromap.pacs.settings import PacsSettings

__all__ = ["main", "quiet"]

_MEASURES = {"volume_ml": "Volume, ml", "long_axis_mm": "Long axis, mm", "thickness_mm": "Thickness, mm"}

_log = logging.getLogger("gastromap.app")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the application.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program name; those of the process by default.

    Returns
    -------
    int
        Exit status, see :class:`gastromap.errors.ExitCode`.
    """
    start = time.perf_counter()
    debug = False
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if words[:1] == ["serve"]:
            return _serve(words[1:])
        options = parse_options(words)
        debug = options.log_level == "DEBUG"
        with _fetched(options) as given:
            _run(given, start)
        if options.pacs is not None:
            _send(options.output, options.pacs)
    except GastromapError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except KeyboardInterrupt:
        return _fail("INTERRUPTED run: expected an end, got a signal. Nothing was written.", 130, debug=debug)
    except Exception as error:  # noqa: BLE001  -- the last door: the reader gets a line and a code, never patient data
        line = f"INTERNAL run: expected no fault, got {type(error).__name__}. Run with --log-level DEBUG and report it."
        return _fail(line, ExitCode.INTERNAL, debug=debug)
    return int(ExitCode.OK)


def _serve(words: Sequence[str]) -> int:
    quiet("WARNING")
    from app.service.__main__ import main as serve

    return serve(words)


@contextmanager
def _fetched(options: Options) -> Iterator[Options]:
    """Options with the studies of the PACS in a folder that goes at the end; a folder that was given stays."""
    if not options.fetched or options.pacs is None:
        yield options
        return
    from gastromap.pacs import fetched_studies

    quiet(options.log_level)
    with fetched_studies(options.fetched, options.pacs) as folder:
        yield replace(options, input=folder)


def _send(output: Path, pacs: PacsSettings) -> None:
    from gastromap.pacs import send_result

    done = send_result(output, pacs)
    sys.stdout.write(f"  {done.objects} objects in the PACS\n")


def _run(options: Options, start: float) -> None:
    quiet(options.log_level)
    from gastromap.bundle import Bundle
    from gastromap.output import prepare_output
    from gastromap.run_record import Stopwatch

    bundle = Bundle.find(options.models)
    if options.clinical is not None:
        from gastromap.nomogram import read_clinical

        # The patient is not known yet; a damaged file is.
        read_clinical(options.clinical, patient_id="")
    output = prepare_output(options.output)
    try:
        watch = Stopwatch(config=options.config)
        with watch.stage("import"), _collector_paused():
            from app.application import GastroMapApplication
            from gastromap.staging import TStager, best_device
        with watch.stage("model"):
            device = best_device(options.device)
            stager = TStager(bundle, device=device)
        done: list[tuple[StudyResult, tuple[Path, ...]]] = []
        application = GastroMapApplication(
            options=options,
            stager=stager,
            output=output,
            watch=watch,
            on_written=lambda result, files: done.append((result, files)),
        )
        application.run()
        if not done:
            raise RuntimeError("the application ended without a result")
    except BaseException:
        output.discard()
        raise
    watch.seconds["total"] = time.perf_counter() - start
    _tell(*done[0], watch.seconds)
    if os.environ.get("GASTROMAP_TIMINGS"):
        Path(os.environ["GASTROMAP_TIMINGS"]).write_text(json.dumps(watch.seconds), encoding="utf-8")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking half a million objects again and again while modules are imported.

    What an import makes stays for the life of the process, so it is moved out of the collector's sight.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def quiet(level: str) -> None:
    """Keep the libraries from printing paths, UIDs and descriptions at INFO."""
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    if level != "DEBUG":
        # Holoscan's own log repeats an operator's exception over some forty lines.
        os.environ["HOLOSCAN_LOG_LEVEL"] = "OFF"
        for name in ("monai", "monai.deploy", "highdicom", "pydicom", "holoscan"):
            logging.getLogger(name).setLevel(logging.ERROR)
        import warnings

        warnings.filterwarnings("ignore")


def _tell(result: StudyResult, files: tuple[Path, ...], seconds: dict[str, float]) -> None:
    stage = result.stage
    confidence = stage.confidence
    shown = f"c{stage.stage}" if confidence.staged else f"c{stage.stage}, not confidently staged"
    lines = [
        "",
        f"  Stage          {shown}   ({confidence.votes_for_stage} of {confidence.slices} slices)",
        *(
            f"  P(c{label})         {value:6.1%}  {'█' * round(value * 40)}"
            for label, value in stage.probabilities.items()
        ),
        f"  {confidence.coverage:.0%} set        {', '.join(f'c{s}' for s in confidence.prediction_set)}",
        *(f"  Note           {reason}" for reason in confidence.reasons),
        f"  Key slice      {result.key_slice.index_from_feet} from the feet, found by {result.key_slice.origin}",
        *_comparison_lines(result.comparison),
        f"  Model          {stage.model.network} {stage.model.version} on {stage.device}",
        f"                 {stage.model.notice}",
        f"  Warnings       {', '.join(result.warnings) or 'none'}",
        f"  Time           {seconds['total']:.1f} s",
        "  Files",
        *(f"    {path}" for path in files),
        "",
        "  Research use, not for diagnosis.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _comparison_lines(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return []
    days = comparison.interval_days
    lines = [f"  After treatment{'' if days is None else f', {days} days later'}"]
    if comparison.stage is not None:
        lines.append(f"    Stage         yc{comparison.stage.stage}, not confidently staged")
    if comparison.followup.tumour is None:
        lines.append(f"    Tumour        {comparison.followup.no_tumour}")
    lines += [
        f"    {_MEASURES[change.name]:13s} {change.before:.1f} -> {change.after:.1f} ({change.relative:+.0%})"
        for change in comparison.changes
    ]
    outlook = comparison.outlook
    if outlook is None:
        return [*lines, f"    Outlook       {comparison.omitted}"]
    said = outlook.outcome
    curve = ", ".join(f"{value:.0%} at {month} months" for month, value in said.survival.items())
    return [
        *lines,
        f"    P(node +)     {said.lnm_probability:.1%}",
        f"    Survival      {curve}; mean {said.rmst_months:.0f} of {outlook.breaks_months[-1]:.0f} months",
        f"    Risk group    {said.risk_group or 'not known'}",
        f"    Model         {outlook.model.network} {outlook.model.version}",
        f"                  {outlook.model.notice}",
    ]


def _fail(line: str, code: int, *, debug: bool) -> int:
    if debug:
        _log.exception("stack trace")
    sys.stdout.flush()
    sys.stderr.write(line + "\n")
    return int(code)


if __name__ == "__main__":
    status = main()
    # Results are complete and synced; taking half a million objects apart would cost seconds and decide nothing.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
