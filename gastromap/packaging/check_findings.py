"""What a check of a package can find, and what a whole check says.

Rules that the MAP specification makes a SHALL are errors, its SHOULD are warnings. Where the packager of holoscan-cli
is known to depart from the specification, its departures are warnings in a package that it has written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Literal

__all__ = ["CONFORMS", "ERRORS", "SKIPPED", "CheckPart", "CheckReport", "Finding", "Level", "Source", "relaxed"]

#: Exit codes of ``gastromap check-map``; 77 is the convention of test runners for "skipped".
CONFORMS, ERRORS, SKIPPED = 0, 1, 77

Level = Literal["error", "warning", "note"]
_ORDER: tuple[Level, ...] = ("error", "warning", "note")


class Source(StrEnum):
    """Where a rule comes from."""

    SPECIFICATION = "MAP specification 1.0.0"
    HOLOSCAN = "holoscan-cli 4.2.0"
    SDK = "MONAI Deploy App SDK 4.0.0"
    BUNDLE = "MONAI bundle"
    EXPRESS = "MONAI Deploy Workflow Manager"
    ARGO = "Argo Workflows"
    MERCURE = "Mercure 0.4.1"
    COMPOSE = "Compose specification"
    HARDENING = "hardened container"
    GASTROMAP = "GastroMAP"


@dataclass(frozen=True)
class Finding:
    """One departure from one rule.

    Attributes
    ----------
    rule : str
        Stable name of the rule, ``app-type``; programs match on it.
    level : {"error", "warning", "note"}
        Errors decide the exit code.
    file : str
        File below the checked tree, or the part of the image.
    field : str
        Field, variable or line in the file; empty where the whole file is meant.
    expected, found : str
        What the rule asks for, and what is there. Never file content that could hold a secret or patient data.
    source : Source
        Who makes the rule.
    """

    rule: str
    level: Level
    file: str
    field: str
    expected: str
    found: str
    source: Source


@dataclass(frozen=True)
class CheckPart:
    """One group of rules: what it found, or why it was not looked at."""

    name: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""  #: reason; empty if the rules were checked


@dataclass(frozen=True)
class CheckReport:
    """Everything that was checked of one package."""

    subject: str
    profile: str
    parts: tuple[CheckPart, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, errors first, in the order of the checks."""
        found = [finding for part in self.parts for finding in part.findings]
        return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.level)))

    @property
    def counts(self) -> Mapping[Level, int]:
        """How many findings of each level."""
        counted = Counter(finding.level for finding in self.findings)
        return {level: counted[level] for level in _ORDER}

    @property
    def exit_code(self) -> int:
        """1 with an error, else 77 if a part was skipped, else 0."""
        if self.counts["error"]:
            return ERRORS
        return SKIPPED if any(part.skipped for part in self.parts) else CONFORMS

    def to_mapping(self) -> dict[str, object]:
        """Give the report as JSON types."""
        return {
            "subject": self.subject,
            "profile": self.profile,
            "conforms": self.exit_code == CONFORMS,
            "exit_code": self.exit_code,
            "counts": dict(self.counts),
            "parts": [
                {"name": part.name, "skipped": part.skipped or None, "findings": len(part.findings)}
                for part in self.parts
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


def relaxed(findings: Sequence[Finding], rules: frozenset[str]) -> tuple[Finding, ...]:
    """Make warnings of the errors against the named rules."""
    return tuple(
        replace(finding, level="warning") if finding.rule in rules and finding.level == "error" else finding
        for finding in findings
    )
