"""``monai-deploy package`` of holoscan-cli 4.2.0, offline: its own argument, version, manifest and context code.

Replaced are the builder (the classic one instead of buildx), the Dockerfile and the entrypoint (ours). It runs in the
tool environment of packaging/requirements-tools.txt, which the image does not have. WHEELS names the folder of wheels;
without a container engine, MAP_CONTEXT=DIR keeps the build context there and builds nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from holoscan_cli import __main__ as cli
from holoscan_cli.packager import container_builder as builder
from holoscan_cli.packager import platforms

HERE = Path(__file__).resolve().parent
values: dict[str, str] = {}


def build(context_path: str, file: str, tags: list[str], build_args: dict[str, str], **_: Any) -> None:
    """Build with the classic builder, instead of docker buildx."""
    kept = os.environ.get("MAP_CONTEXT")
    if kept:
        shutil.copytree(context_path, kept)
        return
    options = [word for tag in tags for word in ("-t", tag)]
    options += [word for name, value in {**build_args, **values}.items() for word in ("--build-arg", f"{name}={value}")]
    subprocess.run(
        ["docker", "build", "--network", "none", "-f", file, *options, context_path],
        check=True,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        stdout=sys.stderr,
    )


def dockerfile(self: Any, platform: Any) -> str:
    """Our Dockerfile instead of the template; completes the context."""
    parameters, context = self._build_parameters, Path(self._temp_dir)
    values.update(
        BASE=platform.base_image,
        TITLE=parameters.title,
        VERSION=parameters.version,
        SDK=parameters.monai_deploy_app_sdk_version,
        HOLOSCAN=parameters.holoscan_sdk_version,
    )
    (context / "wheelhouse").mkdir(exist_ok=True)
    for wheel in Path(os.environ["WHEELS"]).glob("*.whl"):
        shutil.copyfile(wheel, context / "wheelhouse" / wheel.name)
    shutil.copytree(HERE / "image", context / "image", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for path in context.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path == context / "tools" else 0o644)
    return (HERE / "Dockerfile").read_text()


def copy_script(self: Any) -> None:
    """Our entrypoint instead of NVIDIA's, which always ends with 0."""
    shutil.copyfile(HERE / "entrypoint.sh", Path(self._temp_dir) / "tools")


if "MAP_CONTEXT" in os.environ:
    platforms.image_exists = lambda image: True
builder.create_and_get_builder = lambda name: name
builder.build_docker_image = build
builder.BuilderBase._get_template = dockerfile
builder.BuilderBase._copy_script = copy_script
sys.argv[0] = "monai-deploy"
cli.main(sys.argv)
