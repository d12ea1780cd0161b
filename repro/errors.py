"""The two exceptions that cross module borders."""


class UserError(ValueError):
    """Something the user can mend. The message is one readable line: key or file:line, the value
    met and what is allowed. The command line prints it without a trace and exits with 1."""


class Interrupted(BaseException):
    """A run stopped on request after saving its state; the same run continues from there.

    Not an `Exception`, so that a broad handler in a method cannot swallow a pre-emption.
    """
