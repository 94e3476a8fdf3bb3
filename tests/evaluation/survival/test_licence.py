"""scikit-survival is GPL-3: training and evaluation only, imported inside functions, never by the application."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARTS = ("gastromap", "app", "operators")
GPL = ("sksurv", "ecos")
ALLOWED = (ROOT / "gastromap" / "evaluation", ROOT / "gastromap" / "training")


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [(node.module or "").split(".")[0]]
    return []


def places() -> list[tuple[Path, bool]]:
    """Files that import it, and whether inside a function."""
    found = []
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            inside = {
                child
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef)
                for child in ast.walk(function)
            }
            found += [(path, node in inside) for node in ast.walk(tree) for name in imported(node) if name in GPL]
    return found


def test_only_evaluation_and_training_import_it_and_only_inside_functions():
    found = places()
    assert found
    for path, inside_function in found:
        assert inside_function, path
        assert any(path.is_relative_to(folder) for folder in ALLOWED), path


def test_importing_nomogram_and_evaluation_loads_none_of_it():
    code = (
        "import sys, gastromap.nomogram.combined_drawing, gastromap.evaluation.assemble, gastromap.evaluation.page;"
        f"sys.exit(any(name.split('.')[0] in {GPL!r} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
