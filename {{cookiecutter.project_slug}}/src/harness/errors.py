"""What can go wrong, said so that the person knows what, where, and which command mends it."""


class HarnessError(Exception):
    """A stop with a reason.

    `code` becomes the exit code: 1 means findings (something measured is not as it should be),
    2 means wrong use (something the person must change before anything can be measured).
    """

    def __init__(self, message: str, fix: str = "", code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code


class TransientError(Exception):
    """Raise it from `predict` where the same call may succeed later; `retry_after` in seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders by pickle, which would call us with one argument only.
        return (type(self), (str(self), self.retry_after))


class PermanentError(Exception):
    """Raise it from `predict` where no call can succeed (wrong key): the run stops soon."""


class PredictionTimeout(BaseException):
    """A call of predict took longer than `[run] timeout_seconds`.

    Not an Exception, so that an `except Exception` inside predict cannot swallow it.
    """


class InvalidResult(Exception):
    """What `predict` returned cannot become a row: no dict, a reserved name, a changed type."""
