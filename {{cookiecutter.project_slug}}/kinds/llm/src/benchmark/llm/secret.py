"""Keys: read from the environment when they are sent. harness.redact keeps them out of the rest."""

from harness import PermanentError
from harness.project.inputs import secret


def read_key(variable: str) -> str:
    """The key in that variable, "" without one; raises PermanentError where it cannot be sent."""
    key = secret(variable).strip()  # a line break comes along with a file's content
    if not (key.isascii() and key.isprintable()):
        raise PermanentError(f"the key in {variable} has a character that no key has")
    return key
