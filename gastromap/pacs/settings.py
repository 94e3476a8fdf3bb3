"""How to reach a PACS, read from a YAML file, which names a variable or a file for each password and holds none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from gastromap.errors import UsageError
from gastromap.pacs.remote import Remote

__all__ = ["DicomWebSettings", "DimseSettings", "PacsSettings", "read_pacs_settings", "remote_of", "secret"]


@dataclass(frozen=True)
class DicomWebSettings:
    """A PACS by DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS.

    Attributes
    ----------
    url : str
        Root of the services, http or https.
    username : str
        For basic authentication; the password comes from ``password_env`` or ``password_file``.
    password_env, password_file, token_env, token_file : str
        Variable of the environment, or file, that holds the password or a bearer token.
    ca_bundle : str
        Certificates to trust instead of the system's.
    client_certificate, client_key : str
        PEM files for mutual TLS.
    timeout_s : float
        Of connecting, and of each wait for data.
    """

    url: str
    username: str = ""
    password_env: str = ""
    password_file: str = ""
    token_env: str = ""
    token_file: str = ""
    ca_bundle: str = ""
    client_certificate: str = ""
    client_key: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True)
class DimseSettings:
    """A PACS by DIMSE (PS3.7): C-FIND, C-GET or C-MOVE, C-STORE.

    Attributes
    ----------
    host : str
    port : int
    called_aet, calling_aet : str
        Application entity titles of the PACS and of this program.
    retrieve : {"get", "move"}
        ``move`` needs ``listen_port``, and the PACS has to know this computer under ``calling_aet``.
    listen_port : int
    tls_ca, tls_certificate, tls_key : str
        PEM files; with ``tls_ca`` the connection is TLS.
    timeout_s : float
        Of connecting, of the association and of each answer.
    """

    host: str
    port: int
    called_aet: str
    calling_aet: str = "GASTROMAP"
    retrieve: str = "get"
    listen_port: int = 0
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    timeout_s: float = 30.0


@dataclass(frozen=True)
class PacsSettings:
    """A PACS and how often to try.

    Attributes
    ----------
    remote : DicomWebSettings or DimseSettings
    attempts : int
        Of one step, where the fault may pass.
    wait_s : float
        Before the second attempt; doubled before each further one.
    """

    remote: DicomWebSettings | DimseSettings
    attempts: int = 3
    wait_s: float = 2.0


def read_pacs_settings(path: Path) -> PacsSettings:
    """Read the YAML file: ``dicomweb`` or ``dimse`` with the fields of its settings, ``attempts``, ``wait_s``.

    Raises
    ------
    UsageError
        ``PACS_SETTINGS``, naming the field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong("a readable YAML file", type(error).__name__) from error
    if not isinstance(content, Mapping) or len({"dicomweb", "dimse"} & set(content)) != 1:
        raise _wrong("one section, dicomweb or dimse", "none or both")
    unknown = set(content) - {"dicomweb", "dimse", "attempts", "wait_s"}
    if unknown:
        raise _wrong("dicomweb or dimse, attempts, wait_s", ", ".join(sorted(map(str, unknown))))
    kind = DicomWebSettings if "dicomweb" in content else DimseSettings
    remote = _section(kind, content.get("dicomweb", content.get("dimse")))
    settings = PacsSettings(remote, **{name: content[name] for name in ("attempts", "wait_s") if name in content})
    if not isinstance(settings.attempts, int) or settings.attempts < 1 or not _number(settings.wait_s, least=0):
        raise _wrong("attempts of at least 1 and wait_s of at least 0", "others")
    _check(remote)
    return settings


def _section(kind: type[Any], given: object) -> Any:
    known = {field.name: field for field in fields(kind)}
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        extra = ", ".join(sorted(set(map(str, given)) - set(known))) if isinstance(given, Mapping) else "no mapping"
        raise _wrong(f"fields {', '.join(known)}", extra)
    for name, value in given.items():
        wanted = known[name].type
        good = (
            isinstance(value, str)
            if wanted == "str"
            else isinstance(value, int) and not isinstance(value, bool)
            if wanted == "int"
            else _number(value, least=0.1)
        )
        if not good:
            raise _wrong(f"{name} of type {wanted}", type(value).__name__)
    try:
        return kind(**given)
    except TypeError:
        missing = [name for name in ("url", "host", "port", "called_aet") if name in known and name not in given]
        raise _wrong("all of the address", f"no {', '.join(missing)}") from None


def _number(value: object, *, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least


def _check(remote: DicomWebSettings | DimseSettings) -> None:
    if isinstance(remote, DicomWebSettings):
        parts = urlsplit(remote.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise _wrong("url with http or https, without a password in it", "another one")
        if remote.username and not (remote.password_env or remote.password_file):
            raise _wrong("password_env or password_file with username", "none")
        return
    titles = (remote.called_aet, remote.calling_aet)
    if any(not 1 <= len(title.strip()) <= 16 or "\\" in title for title in titles):
        raise _wrong("titles of 1 to 16 characters without backslash", "another one")
    if not (0 < remote.port < 65536 and 0 <= remote.listen_port < 65536):
        raise _wrong("ports of 1 to 65535", "another one")
    if remote.retrieve not in ("get", "move") or (remote.retrieve == "move" and not remote.listen_port):
        raise _wrong("retrieve get, or move with listen_port", remote.retrieve[:16])


def secret(variable: str, file: str) -> str:
    """Value of a variable or first line of a file.

    Raises
    ------
    UsageError
        ``PACS_SETTINGS`` where it is named and not there.
    """
    if variable:
        value = os.environ.get(variable, "")
        if not value:
            raise _wrong(f"a value in the variable {variable}", "none")
        return value
    try:
        value = Path(file).read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong("a readable file with the password or token", type(error).__name__) from error
    if not value:
        raise _wrong("a password or token in its file", "none")
    return value


def remote_of(settings: PacsSettings) -> Remote:
    """Client for a PACS; nothing is sent yet."""
    if isinstance(settings.remote, DicomWebSettings):
        from gastromap.pacs.dicomweb import DicomWebRemote

        return DicomWebRemote(settings.remote)
    from gastromap.pacs.dimse import DimseRemote

    return DimseRemote(settings.remote)


def _wrong(expected: str, got: str) -> UsageError:
    return UsageError("PACS_SETTINGS", where="PACS settings", expected=expected, got=got, remedy="See docs/pacs.md.")
