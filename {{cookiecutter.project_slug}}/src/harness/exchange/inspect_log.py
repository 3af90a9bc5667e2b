"""Logs of inspect (inspect_ai): `.eval`, a zip with a file a sample, and `.json`; version 2."""

import struct
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from harness.exchange.log import (
    Json,
    Log,
    Sample,
    loaded,
    named,
    number_of,
    text_of,
    unreadable,
    widest,
)
from harness.project.scores import Score

_ZSTD = 93
# What inspect's own value_to_float makes of them.
_GRADES = {"C": True, "I": False, "P": 0.5, "N": False}
_VERSIONS = (1, 2)
# A small zip can unpack to more than any machine holds; text of a log shrinks to a tenth or so.
_BOMB_TIMES, _BOMB_BYTES = 200, 100 * 1024**2


def is_inspect(path: Path) -> bool:
    """Whether a file looks like one."""
    if path.suffix == ".eval":
        return True
    if path.suffix != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(4096).lstrip()
    return head.startswith(b"{") and b'"version"' in head[:200] and b'"eval"' in head


def read_inspect(path: Path) -> Log:
    """Its samples. Raises HarnessError where it is cut or of an unknown version."""
    if path.suffix == ".eval":
        header, samples = _of_zip(path)
    else:
        header = loaded(path, path.read_bytes())
        samples = iter(header.get("samples") or ())
    if header.get("version") not in _VERSIONS:
        known = " and ".join(map(str, _VERSIONS))
        raise unreadable(path, f"it is of version {header.get('version')!r}, and {known} are known")
    about = header.get("eval") or {}
    log = Log("inspect", str((about.get("packages") or {}).get("inspect_ai", "")), about["task"])
    params = _params(about)
    for sample in samples:
        log.samples.append(_sample(sample, params, log.scores))
    if not log.samples:
        raise unreadable(path, f"it has no samples (its status is {header.get('status')})")
    return log


def _params(about: Json) -> tuple[tuple[str, str | int | float], ...]:
    """What was varied: the model, and what it and the task were given."""
    found: dict[str, str | int | float] = {"task": about["task"], "model": str(about.get("model"))}
    given = {**(about.get("task_args") or {}), **(about.get("model_generate_config") or {})}
    for name, value in given.items():
        if isinstance(value, (str, int, float)):
            found.setdefault(named(name), value)
    return tuple(found.items())


def _sample(
    sample: Json, params: tuple[tuple[str, str | int | float], ...], declared: dict[str, Score]
) -> Sample:
    output = sample.get("output") or {}
    usage = output.get("usage") or {}
    said = sample.get("input")
    row = {
        "prediction": output.get("completion"),
        "ground_truth": text_of(sample.get("target")),
        "raw_response": text_of(output),
        "text": said if isinstance(said, str) else text_of(said),
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "cost": number_of(usage.get("total_cost")),
        "latency": number_of(output.get("time")),
    }
    scores: dict[str, float | bool | None] = {}
    for scorer, score in (sample.get("scores") or {}).items():
        value = score.get("value")
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, each in parts:
            name = named(scorer, part)
            scores[name] = _value(each)
            if each is not None:
                seen = _score_of(each)
                declared[name] = widest(declared.get(name, seen), seen)
    epoch = int(sample.get("epoch") or 1)
    if epoch < 1:
        raise ValueError(f"epoch {epoch}")
    error = sample.get("error")
    words = str(error.get("message") if isinstance(error, dict) else error) if error else ""
    return Sample(params, str(sample.get("id")), epoch - 1, row, scores, words)


def _score_of(value: object) -> Score:
    """What a score is that has this value."""
    if isinstance(_value(value), bool):
        return Score("proportion", better="higher")
    if isinstance(value, str) and value in _GRADES:
        return Score("mean", better="higher", low=0, high=1)
    return Score("mean")


def _value(value: object) -> float | bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _GRADES.get(value, _float(value))
    return number_of(value)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _of_zip(path: Path) -> tuple[Json, Iterator[Json]]:
    """The header, and the samples one at a time."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {info.filename: info for info in file.infolist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise unreadable(path, f"it is no whole .eval file ({error})") from None
    if "header.json" not in names:
        raise unreadable(
            path, "it was not finished: it has no header", "run it to its end: inspect eval-retry"
        )
    unpacked = sum(info.file_size for info in names.values())
    if unpacked > max(_BOMB_BYTES, _BOMB_TIMES * path.stat().st_size):
        raise unreadable(path, f"it would unpack to {unpacked:,} bytes, as no log does")
    parts = [info for name, info in names.items() if name.startswith("samples/")]
    header, *_ = _parsed(path, [names["header.json"]])
    return header, _parsed(path, parts)


def _parsed(path: Path, parts: Sequence[zipfile.ZipInfo]) -> Iterator[Json]:
    """Files of the zip, which is opened once: its directory has a line for each sample."""
    with zipfile.ZipFile(path) as file, duckdb.connect() as con:
        for info in parts:
            packed = info.compress_type == _ZSTD
            yield loaded(path, _unpacked(path, info, con) if packed else file.read(info))


def _unpacked(path: Path, info: zipfile.ZipInfo, con: duckdb.DuckDBPyConnection) -> bytes:
    """inspect packs with Zstandard: Python's zipfile reads that from 3.14 on, DuckDB does here."""
    with path.open("rb") as raw:
        raw.seek(info.header_offset)
        head = raw.read(30)
        name, extra = struct.unpack("<HH", head[26:30])
        raw.seek(info.header_offset + 30 + name + extra)
        packed = raw.read(info.compress_size)
    with tempfile.NamedTemporaryFile(suffix=".json.zst") as file:
        file.write(packed)
        file.flush()
        try:
            found = con.execute(
                "SELECT json FROM read_json_objects(?, format = 'unstructured', "
                "compression = 'zstd', maximum_object_size = ?)",
                [file.name, max(16_777_216, 2 * info.file_size)],
            ).fetchone()
        except duckdb.Error as error:
            raise unreadable(path, f"{info.filename} is damaged ({error})") from None
    return str(found[0] if found else "").encode()
