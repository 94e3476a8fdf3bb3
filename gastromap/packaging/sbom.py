"""Bill of materials of an image (CycloneDX 1.6), made from what was found in its root tree, not from what was asked."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gastromap.packaging.configuration import MapConfiguration
from gastromap.packaging.licences import Licence, check_licences

__all__ = ["SBOM_NAME", "make_sbom"]

SBOM_NAME = "sbom.cdx.json"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def make_sbom(
    inventory: Mapping[str, Any],
    *,
    configuration: MapConfiguration,
    wheels: Mapping[str, str],
    models: Path,
    epoch: int,
) -> str:
    """Write the bill of materials as JSON text; the same inputs give the same text.

    Parameters
    ----------
    inventory : mapping
        What ``packaging/image/inventory.py`` wrote in the first stage of the build.
    configuration : MapConfiguration
    wheels : mapping of str to str
        SHA-256 of the wheels, by canonical name.
    models : Path
        Folder of the staged bundles.
    epoch : int
        Time of the document, seconds since 1970.

    Raises
    ------
    PackagingError
        ``LICENCE_UNCLEAR``, ``LICENCE_REFUSED``.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import LicenseExpression
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    licences = check_licences([*inventory["distributions"], *inventory["packages"]])
    root = Component(
        type=ComponentType.APPLICATION,
        name=configuration.title,
        version=configuration.version,
        bom_ref=f"application:{configuration.title}",
        purl=PackageURL("generic", None, configuration.title.lower(), configuration.version),
        licenses=[LicenseExpression("Apache-2.0")],
    )
    bom = Bom()
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    python = {
        _canonical(entry["name"]): _python(entry, licences[entry["name"]], wheels)
        for entry in inventory["distributions"]
    }
    others = [_system(entry, licences[entry["name"]], inventory["system"]) for entry in inventory["packages"]]
    others += _models(models)
    for component in (*python.values(), *others):
        bom.components.add(component)
    bom.register_dependency(root, [*python.values(), *others])
    for entry in inventory["distributions"]:
        needs = [python[name] for name in _needed(entry["requires"]) if name in python]
        bom.register_dependency(python[_canonical(entry["name"])], needs)
    facts = json.dumps([inventory, dict(wheels), configuration.version], sort_keys=True)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(facts.encode()).hexdigest())
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _needed(requires: Iterable[str]) -> list[str]:
    """Names of a distribution's requirements that are not those of an extra."""
    plain = (text for text in requires if "extra ==" not in text)
    return [_canonical(found.group()) for text in plain if (found := _NAME.match(text))]


def _python(entry: Mapping[str, Any], licence: Licence, wheels: Mapping[str, str]) -> Any:
    from packageurl import PackageURL

    name = _canonical(entry["name"])
    return _component(
        entry,
        licence,
        purl=PackageURL("pypi", None, name, entry["version"]),
        # The wheel is what others can compare; what pruning left of it is the second hash.
        digest=wheels.get(name, entry["tree_sha256"]),
        hashed="wheel" if name in wheels else "installed files",
        installed=entry["tree_sha256"],
    )


def _system(entry: Mapping[str, Any], licence: Licence, system: Mapping[str, str]) -> Any:
    from packageurl import PackageURL

    lines = "".join(f"{file['path']}\0{file['sha256']}\n" for file in entry["files"])
    digest = hashlib.sha256(lines.encode()).hexdigest()
    if entry["kind"] == "deb":
        qualifiers = {"arch": entry["architecture"], "distro": f"{system['id']}-{system['version']}"}
        purl = PackageURL("deb", system["id"], entry["name"], entry["version"], qualifiers)
    else:
        purl = PackageURL("generic", None, entry["name"], entry["version"])
    return _component(entry, licence, purl=purl, digest=digest, hashed="installed files", installed=digest)


def _component(
    entry: Mapping[str, Any], licence: Licence, *, purl: Any, digest: str, hashed: str, installed: str
) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import LicenseExpression

    return Component(
        type=ComponentType.LIBRARY,
        name=entry["name"],
        version=entry["version"],
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseExpression(licence.expression)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        properties=[
            Property(name="gastromap:licence_evidence", value=licence.evidence),
            Property(name="gastromap:hash_of", value=hashed),
            Property(name="gastromap:installed_sha256", value=installed),
        ],
    )


def _models(folder: Path) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import LicenseExpression
    from packageurl import PackageURL

    found = []
    for weights in sorted(folder.glob("*/models/*.pt")):
        bundle = weights.parents[1]
        metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
        name, version = f"{bundle.name}/{weights.name}", str(metadata["version"])
        found.append(
            Component(
                type=ComponentType.MACHINE_LEARNING_MODEL,
                name=name,
                version=version,
                bom_ref=f"model:{name}",
                purl=PackageURL("generic", None, name.replace("/", "-"), version),
                licenses=[LicenseExpression("Apache-2.0")],
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(weights.read_bytes()).hexdigest())],
            )
        )
    return found
