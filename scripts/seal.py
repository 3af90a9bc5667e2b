"""Write SEAL again after the harness was edited: `python scripts/seal.py`; `--check` only looks.

Parallel branches each write it; after a merge, run this again.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = next(ROOT.glob("{{*}}/src"))
sys.path.insert(0, str(SOURCE))

from harness import seal  # noqa: E402


def main() -> int:
    """0 where SEAL fits, or was written; 1 where `--check` finds that it does not."""
    folder = SOURCE / "harness"
    if "--check" not in sys.argv[1:]:
        text = seal.written(seal.digests(folder))
        (folder / seal.SEAL).write_text(text, encoding="utf-8", newline="\n")
        print(f"sealed {len(text.splitlines())} files")
        return 0
    # As text: a merge that kept the lines of both sides may fit, and must not stay.
    if (folder / seal.SEAL).read_text(encoding="utf-8") == seal.written(seal.digests(folder)):
        return 0
    edited = ", ".join(seal.edited_in(folder)) or "the order of its lines"
    print(f"SEAL of the harness is out of date ({edited})\nfix: python scripts/seal.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
