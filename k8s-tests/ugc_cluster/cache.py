"""What takes minutes to make is made once for a user, outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


def directory(environ: Mapping[str, str]) -> Path:
    """Where it is kept: below XDG_CACHE_HOME, else ~/.cache."""
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/")) / ".cache"
    return Path(root) / "ugc-platform"


def made_once(root: Path, name: str, make: Callable[[Path], None]) -> Path:
    """`root/name`, made by `make` in an empty folder unless it is there.

    Of several that find nothing one makes it, and the others wait. A run that was killed leaves
    nothing that would be believed.
    """
    target = root / name
    if target.exists():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            scratch = root / f"making-{name}"
            if scratch.exists():  # of one that was killed: we have the lock
                shutil.rmtree(scratch)
            scratch.mkdir()
            try:
                make(scratch)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def fingerprint(files: Iterable[Path], *words: str) -> str:
    """Twelve hex digits that change with the contents or names of the files, or with the words."""
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode() + b"\0")
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
