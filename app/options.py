"""Command line, environment and configuration file of the application, checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gastromap import __version__
from gastromap.dicom_input.configuration import read_gate_settings
from gastromap.dicom_input.limits import GateSettings
from gastromap.dicom_input.studies import NamedStudies, Role
from gastromap.errors import Refusal, UsageError
from gastromap.reports.catalogue import LANGUAGES, Language

if TYPE_CHECKING:
    from gastromap.pacs.settings import PacsSettings

__all__ = ["Options", "default_config", "default_language", "default_models", "parse_options"]

_REPOSITORY = Path(__file__).resolve().parents[1]
_EPILOG = """environment: HOLOSCAN_INPUT_PATH, HOLOSCAN_OUTPUT_PATH, HOLOSCAN_MODEL_PATH, HOLOSCAN_CONFIG_PATH stand in
for -i, -o, -m and --config, GASTROMAP_LANGUAGE for --language. exit codes: 0 result written, 1 internal fault, 2 wrong
arguments, 3 input refused, 11 model unusable, 12 output not writable, 13 PACS. Research use, not for diagnosis."""


@dataclass(frozen=True)
class Options:
    """Everything that decides a run."""

    input: Path
    output: Path
    models: Path
    settings: GateSettings
    key_slices: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    only: Role | None = None  #: of two studies
    studies: NamedStudies = field(default_factory=NamedStudies)
    clinical: Path | None = None
    device: str = "auto"
    language: Language = "en"  #: of the reports for people
    log_level: str = "WARNING"
    pacs: PacsSettings | None = None  #: receives the result
    fetched: tuple[str, ...] = ()  #: Study Instance UIDs to get from the PACS instead of ``input``
    config: Mapping[str, object] = field(default_factory=dict)  #: what differs from the defaults, for the record


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description=f"GastroMAP {__version__}: stage a gastric-cancer CT study, or compare two.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        help="folder with the DICOM files of one study, or of a patient's studies before and after treatment",
    )
    parser.add_argument("-o", "--output", type=Path, help="folder for the result; made if missing, never overwritten")
    parser.add_argument("-m", "--model", type=Path, help="folder that holds the bundles (default: bundles)")
    parser.add_argument(
        "--key-slice",
        metavar="UID|INDEX",
        action="append",
        default=[],
        help="slice with the largest tumour: SOP Instance UID, or index counted from the feet upwards, 0 the first "
        "(default: from a SEG, RTSTRUCT or key object in the study, else from the segmentation model); of two studies "
        "an index is of the first, a UID of the one that holds it, and both can be named",
    )
    parser.add_argument(
        "--series",
        metavar="UID",
        action="append",
        default=[],
        help="Series Instance UID, or only for the one CT series of the folder (default: portal-venous by votes); of "
        "two studies both can be named",
    )
    parser.add_argument(
        "--baseline", metavar="UID", help="Study Instance UID of the study before treatment (default: by date)"
    )
    parser.add_argument("--followup", metavar="UID", help="Study Instance UID of the study after treatment")
    parser.add_argument(
        "--only",
        choices=("baseline", "followup"),
        help="stage this one of two studies and leave the other aside (default: both, or none if one is refused)",
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help="limits of the input gate (default: MAP.yaml)")
    parser.add_argument(
        "--clinical",
        type=Path,
        metavar="FILE",
        help="clinical.json, or a CSV with a row a patient (default: clinical.json or .csv in the input)",
    )
    parser.add_argument(
        "--pacs", type=Path, metavar="YAML", help="send the result to this PACS (docs/pacs.md); the folder stays"
    )
    parser.add_argument(
        "--study",
        metavar="UID",
        action="append",
        default=[],
        help="Study Instance UID to get from the PACS instead of -i; of two studies both are named",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--language",
        choices=tuple(LANGUAGES),
        help="of the PDF, and shown first by the HTML report, which holds both (default: en)",
    )
    parser.add_argument(
        "-l",
        "--log-level",
        default="WARNING",
        type=str.upper,
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
        help="messages on stderr; DEBUG adds the stack trace of an error",
    )
    parser.add_argument("--version", action="version", version=f"GastroMAP {__version__}")
    return parser


def _path(given: Path | None, variable: str, default: Path | None) -> Path | None:
    if given is not None:
        return given
    value = os.environ.get(variable)
    return Path(value) if value else default


def default_models() -> Path:
    """Folder of the bundles: ``HOLOSCAN_MODEL_PATH``, else that of the repository."""
    return Path(os.environ.get("HOLOSCAN_MODEL_PATH") or _REPOSITORY / "bundles")


def default_config() -> Path:
    """Configuration: ``HOLOSCAN_CONFIG_PATH``, else that of the repository."""
    return Path(os.environ.get("HOLOSCAN_CONFIG_PATH") or _REPOSITORY / "MAP.yaml")


def default_language() -> Language:
    """Language of the reports: ``GASTROMAP_LANGUAGE``, else English.

    Raises
    ------
    UsageError
        ``LANGUAGE_UNKNOWN``.
    """
    name = os.environ.get("GASTROMAP_LANGUAGE") or "en"
    for language in LANGUAGES:
        if name == language:
            return language
    raise UsageError(
        "LANGUAGE_UNKNOWN",
        where="GASTROMAP_LANGUAGE",
        expected=" or ".join(LANGUAGES),
        got="another name",
        remedy="Correct or empty the variable.",
    )


def _clinical(given: Path | None, folder: Path) -> Path | None:
    if given is not None:
        return given
    return next((folder / name for name in ("clinical.json", "clinical.csv") if (folder / name).is_file()), None)


def _missing(name: str) -> UsageError:
    return UsageError(
        "ARGUMENT_MISSING", where="command line", expected=name, got="none", remedy="See python -m app --help."
    )


def _without_folder(given: argparse.Namespace) -> Path:
    if given.input is not None:
        raise UsageError(
            "ARGUMENTS", where="command line", expected="-i or --study", got="both", remedy="Leave one of them out."
        )
    if given.pacs is None:
        raise _missing("--pacs YAML with --study")
    return Path()


def _check_folder(source: Path) -> None:
    if not source.is_dir():
        raise UsageError(
            "INPUT_MISSING", where="input", expected="a folder", got="none", remedy="Name the folder of the study (-i)."
        )
    if not any(source.iterdir()):
        raise Refusal(
            "NO_DICOM",
            where="input",
            expected="DICOM files",
            got="an empty folder",
            remedy="Check the input folder.",
        )


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Parse and check the arguments.

    Raises
    ------
    UsageError
        ``INPUT_MISSING``, ``ARGUMENT_MISSING``, ``ARGUMENTS``, ``CONFIG_INVALID``, ``LANGUAGE_UNKNOWN``,
        ``PACS_SETTINGS``.
    Refusal
        ``NO_DICOM`` for an input folder without a single file.
    SystemExit
        With code 2 from argparse, for unknown arguments.
    """
    given = _parser().parse_args(argv)
    source = _path(given.input, "HOLOSCAN_INPUT_PATH", None)
    target = _path(given.output, "HOLOSCAN_OUTPUT_PATH", None)
    models, config = given.model or default_models(), given.config or default_config()
    if given.study:
        # What the environment names is not meant where the studies are.
        source = _without_folder(given)
    for path, name in ((source, "-i INPUT"), (target, "-o OUTPUT")):
        if path is None:
            raise _missing(name)
    assert source is not None and target is not None  # noqa: S101, PT018
    if not given.study:
        _check_folder(source)
    pacs = None
    if given.pacs is not None:
        from gastromap.pacs.settings import read_pacs_settings

        pacs = read_pacs_settings(given.pacs)
    settings, overrides = read_gate_settings(config)
    return Options(
        input=source,
        output=target,
        models=models,
        settings=settings,
        key_slices=tuple(given.key_slice),
        series=tuple(given.series),
        only=given.only,
        studies=NamedStudies(given.baseline, given.followup),
        clinical=given.clinical if given.study else _clinical(given.clinical, source),
        device=given.device,
        language=given.language or default_language(),
        log_level=given.log_level,
        pacs=pacs,
        fetched=tuple(given.study),
        config=overrides,
    )
