"""A PostgreSQL server of the tests' own, from Debian's package, without network and without a password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _postgres_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _missing() -> str:
    """Why PostgreSQL cannot be tested here; empty if it can."""
    if _programs() is None:
        return "PostgreSQL's server is not installed (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "the driver psycopg is not installed (pip install 'psycopg[binary]')"
    if os.geteuid() == 0 and _postgres_user() is None:
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    return ""


needs_postgresql = pytest.mark.skipif(bool(_missing()) and not os.environ.get("CI"), reason=_missing() or "none")
"""Skips where there is no server, but never where CI runs: there it fails."""


def quick_folder() -> str | None:
    """A folder in memory where there is one, since waiting for a disk at each of thousands of commits takes minutes."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a server with an empty database; yields its URL, and stops it at the end."""
    programs, user = _programs(), _postgres_user() if os.geteuid() == 0 else None
    assert programs is not None, _missing()
    home = Path(
        tempfile.mkdtemp(prefix="whence-pg-", dir=quick_folder())
    )  # short: a socket's path has at most 107 characters
    try:
        if user is not None:
            os.chown(home, user.pw_uid, user.pw_gid)

        def run(program: str, *arguments: str) -> None:
            identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            command = [programs / program, *arguments]
            subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=60, **identity)

        run("initdb", "-D", str(home / "data"), "-U", "whence", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {home} -h '' -c synchronous_commit=on"
        run("pg_ctl", "-D", str(home / "data"), "-l", str(home / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql://whence@/postgres?host={home}"
        finally:
            run("pg_ctl", "-D", str(home / "data"), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
