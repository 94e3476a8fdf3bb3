"""A process that is killed at any step of writing leaves no folder that looks complete and is not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from builders.results_folder import is_whole

from gastromap.errors import UsageError
from gastromap.pacs.send import result_objects

ROOT = Path(__file__).resolve().parents[2]
#: One child a kill, forked after the result was made; the n-th child dies at the n-th thing it does to the disk.
SCRIPT = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from builders.study_result import make_study_result
    from gastromap import output

    target, result = Path(sys.argv[1]), make_study_result()
    # Made once: nothing of it touches the disk.
    built = output.build_files(result)
    output.build_files = lambda *a, **k: built
    for number in range(1, 1000):
        child = os.fork()
        if not child:
            seen = 0
            def hook(event, arguments):
                global seen
                if event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"}:
                    path = arguments[0]
                    if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(str(target)):
                        seen += 1
                        if seen == number:
                            os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            output.write_study(result, target / f"{number:03d}")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            print(number)
            break
        assert status == -signal.SIGKILL, status
    """
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Results folders, the n-th of a process killed at its n-th step, the last of one that came to its end."""
    target = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(target)]
    done = subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True, text=True)
    return [target / f"{number:03d}" for number in range(1, int(done.stdout) + 1)]


def test_a_folder_with_a_result_is_whole_whenever_the_process_died(folders: list[Path]) -> None:
    complete = [folder.name for folder in folders if (folder / "result.json").exists()]
    assert all(is_whole(folder) for folder in folders if folder.name in complete)
    assert folders[-1].name in complete, "the run that nobody killed gave no result"


def test_without_a_result_nothing_is_taken_for_one(folders: list[Path]) -> None:
    halves = [folder for folder in folders if not (folder / "result.json").exists()]
    for folder in halves:
        with pytest.raises(UsageError, match="RESULT_MISSING"):
            result_objects(folder)
    named = [
        folder for folder in halves if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir())
    ]
    assert len(halves) > 20, "too few moments"
    assert named, "no process died between the first and the last of its renames"
