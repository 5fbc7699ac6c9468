"""What callers see when there is no cluster."""


class NoClusterError(RuntimeError):
    """No cluster can be had. The message is one sentence that says what is missing."""
