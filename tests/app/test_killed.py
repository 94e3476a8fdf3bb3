"""The whole application, killed at many moments: what is left never looks like a result and is not one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from builders.bundle import REPOSITORY
from builders.results_folder import is_whole

from gastromap.errors import UsageError
from gastromap.pacs.send import result_objects

pytestmark = pytest.mark.slow

_MOMENTS = 9
#: The application is imported once; each run is a process of its own, killed after its share of an undisturbed run.
SCRIPT = textwrap.dedent(
    """
    import json, os, signal, sys, time
    from pathlib import Path
    from app.__main__ import main

    target, moments, arguments = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]

    def run(name, seconds, by):
        begin, child = time.monotonic(), os.fork()
        if not child:
            os._exit(main([*arguments, "-o", str(target / name)]))
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status), time.monotonic() - begin
            if seconds is not None and time.monotonic() - begin >= seconds:
                os.kill(child, by)
                seconds = None
            time.sleep(0.002)

    code, whole = run("undisturbed", None, None)
    runs = {"undisturbed": code}
    for number in range(moments):
        for by in (signal.SIGKILL, signal.SIGTERM)[: 2 if number % 3 == 1 else 1]:
            name = f"{by.name}-{number:02d}"
            runs[name], _ = run(name, whole * (number + 0.5) / moments, by)
    # Whoever tries once more, tries with the same folder.
    runs["again"] = run(f"SIGKILL-{moments - 2:02d}", None, None)[0]
    Path(sys.argv[1], "codes.json").write_text(json.dumps(runs))
    """
)


@pytest.fixture(scope="module")
def killed(
    study_folder: Path, clinical_file: Path, random_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, int]]:
    """Folders by name of the run, and the exit codes (negative: the signal)."""
    target = tmp_path_factory.mktemp("killed")
    given = ["-i", study_folder, "-m", random_models, "--clinical", clinical_file]
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, target, _MOMENTS, *given]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([*map(str, command)], env=environment, timeout=600, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return target, json.loads((target / "codes.json").read_text())


def test_a_result_is_whole_whenever_its_run_was_killed(killed: tuple[Path, dict[str, int]]) -> None:
    target, codes = killed
    with_result = [name for name in codes if (target / name / "result.json").exists()]
    assert "undisturbed" in with_result
    assert [name for name in with_result if not is_whole(target / name)] == []


def test_a_run_without_a_result_says_so_with_its_exit_code(killed: tuple[Path, dict[str, int]]) -> None:
    target, codes = killed
    without = [name for name in codes if name != "again" and not (target / name / "result.json").exists()]
    assert len(without) > _MOMENTS // 2, "too few runs were killed in time"
    for name in without:
        assert codes[name] != 0, name
        with pytest.raises(UsageError, match="RESULT_MISSING"):
            result_objects(target / name)


def test_the_same_command_again_gives_the_result(killed: tuple[Path, dict[str, int]]) -> None:
    target, codes = killed
    left = target / f"SIGKILL-{_MOMENTS - 2:02d}"
    assert codes["again"] in (0, 12), "12: the run that was killed had just come to its end"
    assert (left / "result.json").exists()
