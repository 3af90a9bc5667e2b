"""Vouch for what is here: put the pickles of caches and databases on this checkout's list."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from harness.errors import explained
from harness.project.settings import Settings
from harness.record.cache import ResultCache
from harness.record.database_file import set_strangers_aside
from harness.record.fitted_files import FOLDER
from harness.record.layout import DEV, databases, place_for
from harness.record.pickles import NotPlain, Trusted, names_in, plain_load


def trust_all(root: Path, settings: Settings) -> dict[Path, Counter[str]]:
    """Trust all that is here now; how many pickles of each file name which package, if any do."""
    found: dict[Path, Counter[str]] = {}
    for experiment in (DEV, "e0.0.0"):
        folder = place_for(root, settings, experiment).cache
        if (folder / "cache.db").is_file():
            cache = ResultCache(folder)
            found[folder] = Counter(cache.trust())
            cache.close()
        for db in databases(root, settings, DEV if experiment == DEV else "experiment"):
            found[db] = _trust_assets(root, db)
    return {path: names for path, names in found.items() if names}


def _trust_assets(root: Path, db: Path) -> Counter[str]:
    trusted, names = Trusted(root), Counter[str]()
    set_strangers_aside(db)
    uri = f"{db.resolve().as_uri()}?mode=ro"
    with explained(db, "read"), closing(sqlite3.connect(uri, uri=True)) as con:
        if not con.execute("SELECT 1 FROM sqlite_master WHERE name = 'assets'").fetchone():
            return names
        for (value,) in con.execute("SELECT value FROM assets"):
            try:
                plain_load(bytes(value))
            except NotPlain:
                trusted.add([bytes(value)])
                names.update(names_in(bytes(value)))
            except Exception:  # damaged, so it is never loaded
                continue
    for path in sorted((db.parent / FOLDER).glob("*/*.pkl")):
        content = path.read_bytes()
        trusted.add([content])
        names.update(names_in(content))
    return names
