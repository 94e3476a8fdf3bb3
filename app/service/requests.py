"""From the JSON of a client to a checked request, and back to what the pipeline takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gastromap.dicom_input.configuration import read_gate_settings
from gastromap.dicom_input.studies import NamedStudies
from gastromap.errors import UsageError

__all__ = ["checked", "study_request"]

_TEXTS = ("folder", "baseline", "followup", "only", "clinical")
_LISTS = ("key_slices", "series", "studies")
_ROLES = ("baseline", "followup")


def _wrong(expected: str, got: str) -> UsageError:
    return UsageError("REQUEST_INVALID", where="request", expected=expected, got=got, remedy="See docs/service.md.")


def checked(body: Any, *, root: Path, config: Path | None, pacs: Path | None = None) -> dict[str, Any]:
    """Check a submission.

    Parameters
    ----------
    body : object
        JSON: ``folder`` (below the input root) or ``studies`` (Study Instance UIDs in the PACS) and, where wanted,
        ``key_slices``, ``series``, ``baseline``, ``followup``, ``only``, ``clinical`` (a file below the input root),
        ``send`` (whether the PACS gets the result; of its own studies it does unless this is false).
    root : Path
        Folder that studies may be read from.
    config : Path, optional
        Limits of the input gate.
    pacs : Path, optional
        Settings of the PACS that the service works with.

    Returns
    -------
    dict
        Plain values for :func:`study_request`.

    Raises
    ------
    UsageError
        ``REQUEST_INVALID``; ``INPUT_MISSING`` where there is no such folder.
    """
    if not isinstance(body, dict) or bool(body.get("folder")) == bool(body.get("studies")):
        raise _wrong('a JSON object with "folder" or "studies"', "something else")
    unknown = sorted(set(body) - {*_TEXTS, *_LISTS, "send"})
    if unknown:
        raise _wrong(f"the names {', '.join((*_TEXTS, *_LISTS, 'send'))}", f"{len(unknown)} unknown ones")
    for name in _TEXTS:
        if body.get(name) is not None and not isinstance(body[name], str):
            raise _wrong(f"a text for {name}", "something else")
    for name in _LISTS:
        values = body.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise _wrong(f"a list of texts for {name}", "something else")
    if body.get("only") not in (None, *_ROLES):
        raise _wrong("only: baseline or followup", "another word")
    request = {name: body[name] for name in (*_TEXTS, *_LISTS) if body.get(name)}
    request |= _exchange(body, pacs)
    if "folder" in request:
        request["folder"] = str(_below(root, body["folder"]))
        if not Path(request["folder"]).is_dir():
            raise UsageError(
                "INPUT_MISSING",
                where="request",
                expected="a folder below the input root",
                got="none",
                remedy="Put the study there first.",
            )
    if "clinical" in request:
        request["clinical"] = str(_below(root, request["clinical"]))
    if config is not None:
        request["config"] = str(config)
    return request


def _exchange(body: dict[str, Any], pacs: Path | None) -> dict[str, Any]:
    """Settings of the PACS and whether it gets the result, where it has a part in this."""
    send = body.get("send")
    if send is not None and not isinstance(send, bool):
        raise _wrong("send: true or false", "something else")
    if not (body.get("studies") or send):
        return {}
    if pacs is None:
        raise _wrong("a service that was started with --pacs", "one without a PACS")
    return {"pacs": str(pacs), "send": send is not False}


def _below(root: Path, name: str) -> Path:
    path = (root / name).resolve()
    # A client must not reach what the service can read.
    if not path.is_relative_to(root.resolve()):
        raise _wrong("a path below the input root", "one outside")
    return path


def study_request(request: Mapping[str, Any], folder: Path) -> Any:
    """What :class:`gastromap.pipeline.StudyPipeline` takes, with the folder that holds the studies.

    Raises
    ------
    UsageError
        ``CONFIG_INVALID``.
    """
    from gastromap.dicom_input import GateSettings
    from gastromap.pipeline import StudyRequest

    settings = read_gate_settings(Path(request["config"]))[0] if "config" in request else GateSettings()
    clinical = Path(request["clinical"]) if "clinical" in request else None
    if clinical is None and "folder" in request:
        clinical = next((folder / n for n in ("clinical.json", "clinical.csv") if (folder / n).is_file()), None)
    return StudyRequest(
        input=folder,
        settings=settings,
        key_slices=tuple(request.get("key_slices", ())),
        series=tuple(request.get("series", ())),
        studies=NamedStudies(request.get("baseline"), request.get("followup")),
        only=request.get("only"),
        clinical=clinical,
    )
