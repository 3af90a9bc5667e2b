"""Write, read and remove one small file on a remote, as `dvc push` would: a program of its own.

It reads DVC's settings of the remote as JSON from standard input, so that no secret stands in a
list of processes. Exit code 0, or 1 with the reason on standard error.
"""

import json
import sys
import tempfile
import uuid
from pathlib import Path


def main() -> int:
    """Try it."""
    from dvc.fs import get_cloud_fs

    try:
        kind, settings, place = get_cloud_fs({}, **json.load(sys.stdin))
        remote = kind(**settings)
        there = remote.join(place, f".probe-{uuid.uuid4().hex}")
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder) / "probe"
            here.write_bytes(b"probe")
            remote.makedirs(place, exist_ok=True)
            remote.put_file(str(here), there)
            try:
                back = Path(folder) / "back"
                remote.get_file(there, str(back))
                if back.read_bytes() != b"probe":
                    raise OSError("what was written does not come back")
            finally:
                remote.remove(there)
    except Exception as error:
        # Whatever the library of a store raises: there is nothing to do here but to pass it on.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
