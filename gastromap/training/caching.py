"""Datasets whose deterministic preprocessing is computed once, in memory or on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose

import gastromap.preprocessing

__all__ = ["cached_dataset"]


def cached_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Compose,
    *,
    cache_dir: str | Path | None = None,
    num_workers: int = 1,
    copy_cache: bool = True,
) -> Dataset:
    """Dataset that runs the transforms up to the first random one once a record.

    Parameters
    ----------
    data : sequence of mapping
        Records of :func:`gastromap.training.read_datalist`.
    transform : Compose
    cache_dir : path, optional
        Folder for the prepared slices of cohorts that do not fit into memory (200 kB a slice); processes may share
        it, and later trainings find it filled. ``None`` keeps them in memory.
    num_workers : int
        Threads that fill the memory.
    copy_cache : bool
        Memory only: whether transforms get a copy. Random transforms that write into their input need it.

    Notes
    -----
    On disk the name of an entry holds a hash of the record, of size and time of its files, of all parameters of the
    deterministic transforms (hence of the preprocessing profile) and of the source of :mod:`gastromap.preprocessing`.
    Whatever of these changes, the slice is prepared anew; old entries stay until the folder is deleted.
    """
    if cache_dir is None:
        return CacheDataset(data, transform, num_workers=num_workers, copy_cache=copy_cache)
    return PersistentDataset(
        data, transform, cache_dir=cache_dir, hash_func=_hash_record, hash_transform=_hash_transforms, track_meta=True
    )


def _hash_record(record: Mapping[str, Any]) -> bytes:
    """Hash of a record and of the state of the files it names."""
    content = {str(key): str(value) for key, value in record.items()}
    for key, value in record.items():
        # Slices have image and mask, volumes image and label, pairs two of each.
        if isinstance(value, str) and (file := Path(value)).is_file():
            found = file.stat()
            content[f"{key} file"] = f"{found.st_size} {found.st_mtime_ns}"
    return _digest(json.dumps(content, sort_keys=True).encode())


def _hash_transforms(transforms: Sequence[Any]) -> bytes:
    return _digest(pickle_hashing(list(transforms)) + _code().encode())


@lru_cache(maxsize=1)
def _code() -> str:
    """What prepares a slice beside the parameters of the transforms."""
    folder = Path(gastromap.preprocessing.__file__).parent
    source = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    return f"{hashlib.sha256(source).hexdigest()} {metadata.version('monai')} {metadata.version('torch')}"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest()[:32].encode()
