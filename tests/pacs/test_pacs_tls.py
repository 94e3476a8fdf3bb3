"""Encrypted connections: a certificate that the settings trust is taken, any other refused before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from builders.orthanc_server import USER, OrthancServer, https_in_front, running_pacs

from gastromap.pacs import DicomWebSettings, DimseSettings, PacsSettings, send_result
from gastromap.pacs.remote import PacsError


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a hospital's own authority: ``server.pem``, ``client.pem``; ``other.pem`` is of somebody else."""
    folder = tmp_path_factory.mktemp("keys")
    own, other = trustme.CA(), trustme.CA()
    own.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    for name in ("server", "client"):
        issued = own.issue_cert("localhost", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.crt"))
    return folder


@pytest.fixture
def server(tmp_path: Path, keys: Path) -> Iterator[OrthancServer]:
    encrypted = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(keys / "server.crt"),
        "DicomTlsPrivateKey": str(keys / "server.key"),
        "DicomTlsTrustedCertificates": str(keys / "ca.pem"),
        "DicomTlsRemoteCertificateRequired": True,
    }
    with running_pacs(tmp_path / "orthanc", **encrypted) as running:
        yield running


@pytest.fixture
def web(server: OrthancServer, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacsSettings]:
    monkeypatch.setenv("TEST_PASSWORD", USER[1])
    with https_in_front(server.url, keys / "server.pem") as url:
        remote = DicomWebSettings(
            f"{url}/dicom-web", username=USER[0], password_env="TEST_PASSWORD", ca_bundle=str(keys / "ca.pem")
        )
        yield PacsSettings(remote, attempts=2, wait_s=0.1)


@pytest.fixture
def dimse(server: OrthancServer, keys: Path) -> PacsSettings:
    remote = DimseSettings(
        "localhost",
        server.dicom_port,
        called_aet="ORTHANC",
        tls_ca=str(keys / "ca.pem"),
        tls_certificate=str(keys / "client.crt"),
        tls_key=str(keys / "client.key"),
    )
    return PacsSettings(remote, attempts=2, wait_s=0.1)


def test_a_result_goes_to_a_pacs_whose_certificate_is_trusted_by_either_protocol(
    web: PacsSettings, dimse: PacsSettings, result: Path
) -> None:
    sent = send_result(result, dimse)
    assert sent.sent == sent.objects > 0
    assert send_result(result, web).sent == 0


def test_https_without_the_authority_is_refused_at_once_and_named(web: PacsSettings, result: Path) -> None:
    with pytest.raises(PacsError, match="PACS_TLS query"):
        send_result(result, replace(web, remote=replace(web.remote, ca_bundle=""), wait_s=60))
    assert send_result(result, web).sent > 0, "something was there before"


@pytest.mark.parametrize("wrong", ["authority", "certificate"])
def test_dimse_with_another_authority_or_no_certificate_gets_no_association(
    dimse: PacsSettings, web: PacsSettings, result: Path, keys: Path, wrong: str
) -> None:
    change = {"tls_ca": str(keys / "other.pem")} if wrong == "authority" else {"tls_certificate": "", "tls_key": ""}
    with pytest.raises(PacsError, match="PACS_"):
        send_result(result, replace(dimse, remote=replace(dimse.remote, **change)))
    assert send_result(result, web).sent > 0, "something was there before"
