"""``python -m app serve``: start the service."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gastromap import __version__
from gastromap.errors import UsageError
from gastromap.reports.catalogue import LANGUAGES

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["main", "make_service"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app serve",
        description=f"GastroMAP {__version__}: stage studies one after the other. Research use only.",
    )
    parser.add_argument(
        "-i", "--input-root", type=Path, help="studies are folders below it (default: HOLOSCAN_INPUT_PATH)"
    )
    parser.add_argument(
        "-o", "--output-root", type=Path, help="result folders and jobs.sqlite (default: HOLOSCAN_OUTPUT_PATH)"
    )
    parser.add_argument("-m", "--model", type=Path, help="folder that holds the bundles (default: bundles)")
    parser.add_argument("--config", type=Path, metavar="YAML", help="limits of the input gate (default: MAP.yaml)")
    parser.add_argument(
        "--pacs", type=Path, metavar="YAML", help="where studies are got from and results sent to (docs/pacs.md)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="(default: %(default)s)")
    parser.add_argument(
        "--queue", type=int, default=100, metavar="N", help="studies that may wait (default: %(default)s)"
    )
    parser.add_argument(
        "--study-seconds", type=float, default=600.0, metavar="S", help="a study may take (default: %(default)s)"
    )
    parser.add_argument(
        "--grace", type=float, default=30.0, metavar="S", help="for the study in hand at a stop (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--language", choices=tuple(LANGUAGES), help="of the reports (default: GASTROMAP_LANGUAGE, else en)"
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of torch (default: its own choice)")
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="clients send its text as Bearer token (default: none needed)"
    )
    return parser


def make_service(given: argparse.Namespace) -> Starlette:
    """Service of the checked arguments.

    Raises
    ------
    UsageError
        ``ARGUMENT_MISSING``, ``INPUT_MISSING``, ``TOKEN_FILE``, ``PACS_SETTINGS``.
    OutputError
        ``OUTPUT_UNWRITABLE``.
    """
    from app.options import default_config, default_language, default_models
    from app.service.api import Service, make_app
    from app.service.metrics import Metrics
    from app.service.runner import Runner
    from app.service.store import JobStore
    from app.service.worker import Worker
    from gastromap.files import probe_folder, unwritable

    source = _folder(given.input_root, "HOLOSCAN_INPUT_PATH", "-i INPUT_ROOT")
    target = _folder(given.output_root, "HOLOSCAN_OUTPUT_PATH", "-o OUTPUT_ROOT")
    if not source.is_dir():
        raise UsageError(
            "INPUT_MISSING", where="input", expected="a folder", got="none", remedy="Name the folder of the studies."
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe_folder(target)
    except OSError as error:
        raise unwritable(error) from error
    store = JobStore(target / "jobs.sqlite", limit=given.queue)
    worker = Worker(
        given.model or default_models(),
        device=given.device,
        threads=given.threads,
        language=given.language or default_language(),
    )
    metrics = Metrics()
    runner = Runner(store, worker, target, study_seconds=given.study_seconds, on_end=metrics.ended)
    return make_app(
        Service(
            store=store,
            runner=runner,
            metrics=metrics,
            input_root=source,
            config=given.config or default_config(),
            pacs=_pacs(given.pacs),
            token=_token(given.token_file),
            grace_seconds=given.grace,
        )
    )


def _folder(given: Path | None, variable: str, name: str) -> Path:
    value = os.environ.get(variable)
    if given is None and not value:
        raise UsageError(
            "ARGUMENT_MISSING", where="command line", expected=name, got="none", remedy="See app serve --help."
        )
    return given or Path(str(value))


def _pacs(path: Path | None) -> Path | None:
    if path is not None:
        from gastromap.pacs import read_pacs_settings, remote_of

        # Also whether passwords and certificates are where it says.
        remote_of(read_pacs_settings(path))
    return None if path is None else path.resolve()


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    if not text:
        raise UsageError(
            "TOKEN_FILE",
            where="command line",
            expected="a file with the token in ASCII",
            got="none or an empty one",
            remedy="Write a long random text into it.",
        )
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal comes.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments behind ``serve``.
    """
    import uvicorn

    given = _parser().parse_args(argv)
    logging.getLogger("app").setLevel(logging.INFO)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops gracefully and then raises the signal again: a stop that was asked for is no failure.
        signal.signal(number, lambda *_: None)
    # Paths hold ids only, but the log of a PACS network is no place for addresses and times of every question.
    uvicorn.run(
        make_service(given),
        host=given.host,
        port=given.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=int(given.grace) + 5,
    )
    return 0
