"""Where results are shared: a folder, SSH, S3-compatible storage, …; checked before it is set."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import HarnessError
from harness.project.settings import Settings
from harness.version import dvc, git

NAME = "storage"
SECONDS = 60.0  # a store that has not answered by then is out of reach
# What each scheme needs besides DVC itself; "" for nothing.
EXTRAS = {
    "": "", "file": "", "http": "", "https": "", "ssh": "dvc-ssh", "s3": "dvc-s3", "gs": "dvc-gs",
    "azure": "dvc-azure", "gdrive": "dvc-gdrive", "oss": "dvc-oss", "hdfs": "dvc-hdfs",
    "webdav": "dvc-webdav", "webdavs": "dvc-webdav",
}  # fmt: skip
_ADVICE = (
    (r"NoSuchBucket|bucket does not exist|404", "make the bucket, or correct its name in URL="),
    (
        r"credential|AccessDenied|Access Denied|Forbidden|InvalidAccessKey|SignatureDoesNotMatch|"
        r"PermissionError|Permission denied|PermissionDenied|Authentication",
        "see that you may write there: for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a "
        f"profile, for SSH a key; or dvc remote modify --local {NAME} …, which is never committed",
    ),
    (
        r"[Cc]onnect|resolve|unreachable|timed out|Timeout",
        "see that the address is right and can be reached from here (for S3-compatible storage "
        "ENDPOINT=https://…)",
    ),
    (r"No space left", "free some space there"),
)


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote that was checked. `was` is where it was before, '' where there was none."""

    name: str
    url: str
    was: str
    commit: str


def set_remote(root: Path, settings: Settings, url: str, endpoint: str = "") -> Remote:
    """Make `url` the remote, once it is known that it can be written.

    Raises HarnessError for an address that is none, an extra that is missing, a secret in the
    address, or a store that cannot be written; nothing is changed then.
    """
    if not url:
        raise HarnessError(
            "no address is given",
            fix="make remote URL=… (a folder, ssh://host/path, s3://bucket/path)",
        )
    if not settings.store.dvc:
        return _git_remote(root, url)
    scheme = _scheme(url)
    if scheme not in EXTRAS:
        known = ", ".join(f"{each}://" for each in EXTRAS if each)
        hint = "; for git itself: git remote add origin URL" if _is_git(url) else ""
        raise HarnessError(f"{url!r} is no address that DVC knows{hint}", fix=f"a folder, {known}")
    _refuse_secret(url)
    _refuse_missing_extra(scheme)
    given = {"url": url if scheme else str(_outside(root, url))}
    if endpoint:
        given["endpointurl"] = endpoint
    config = dvc.config(root)
    secrets = _own(config, NAME)
    probe({**secrets, **given})
    was = config.get(f"remote.{NAME}.url", "")
    dvc.run(root, "remote", "add", "--force", "--default", NAME, given["url"])
    if endpoint:
        dvc.run(root, "remote", "modify", NAME, "endpointurl", endpoint)
    place = os.path.relpath(dvc.folder(root) / "config", root)
    return Remote(
        NAME, url, "" if was == given["url"] else was, f'git commit -m "Add a remote" {place}'
    )


def probe(settings: dict[str, str]) -> None:
    """Write, read and remove a file there. Raises HarnessError where that cannot be done."""
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.version.remote_probe"],
            input=json.dumps(settings),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": path},
        )
        words = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        words = [f"timed out after {SECONDS:.0f} s"]
    if not words:
        return
    fix = next((advice for pattern, advice in _ADVICE if re.search(pattern, words[0])), "")
    raise HarnessError(
        f"{settings['url']} cannot be written: {words[0]}",
        fix=f"{fix or 'see what it says'}; then the same command; nothing was changed",
        code=1,
    )


def _own(config: dict[str, str], name: str) -> dict[str, str]:
    """What else is set of a remote, such as a profile or a key file."""
    start = f"remote.{name}."
    return {
        key.removeprefix(start): value for key, value in config.items() if key.startswith(start)
    }


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ("git" if _is_git(url) else "")


def _is_git(url: str) -> bool:
    return bool(re.match(r"[\w.-]+@[\w.-]+:|git://", url)) or url.endswith(".git")


def _refuse_secret(url: str) -> None:
    if "://" in url and urlsplit(url).password:
        raise HarnessError(
            "the address has a password, and would be committed with it",
            fix=f"leave it out; then dvc remote modify --local {NAME} password …",
        )


def _refuse_missing_extra(scheme: str) -> None:
    package = EXTRAS[scheme]
    if package and importlib.util.find_spec(package.replace("-", "_")) is None:
        raise HarnessError(
            f"{scheme}:// needs the package {package}, and it is not in this environment",
            fix=f"echo {package} >> requirements-benchmark.in; make lock setup; then this again",
        )


def _outside(root: Path, url: str) -> Path:
    """An absolute folder. Raises HarnessError where it lies in the project, or cannot be made."""
    path = Path(url.removeprefix("file://")).expanduser()
    path = (root / path).resolve()
    if path.is_relative_to(root.resolve()):
        raise HarnessError(
            f"{url} lies in this project, and would be lost with it", fix="a folder outside of it"
        )
    if path.exists() and not path.is_dir():
        raise HarnessError(f"{path} is a file", fix="name a folder")
    if not path.parent.is_dir():
        raise HarnessError(f"there is no folder {path.parent}", fix=f"mkdir -p {path.parent}")
    return path


def _git_remote(root: Path, url: str) -> Remote:
    """Without DVC results are git's: what is wanted is a remote of git."""
    path = Path(url).expanduser()
    if "://" not in url and not re.match(r"[\w.-]+@?[\w.-]*:", url) and not path.exists():
        raise HarnessError(f"there is no repository {url}", fix=f"git init --bare {url}")
    name = git.remote(root) or "origin"
    was = git.asked(root, "config", f"remote.{name}.url") or ""
    try:
        git.reach(root, url)
    except HarnessError as error:
        raise HarnessError(
            f"{url} cannot be written: {error.message}", fix=error.fix, code=1
        ) from None
    git.git(root, "remote", *(("set-url", name, url) if was else ("add", name, url)))
    return Remote(name, url, "" if was == url else was, "")
