"""The section [throughput] of benchmark.toml."""

from pydantic import Field

from harness.project.kind import Options


class Throughput(Options):
    """Whom to load, and with what; `keep_bytes` of an answer's body stay in `raw_response`.

    `url` "": the repository's own server. `processes` 0: as many as the rate needs.
    """

    url: str = ""
    method: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""
    ca_file: str = ""
    keep_bytes: int = Field(default=512, ge=0)
    processes: int = Field(default=0, ge=0)
