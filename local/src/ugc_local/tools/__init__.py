"""Commands for a stack that runs: look at it, send to it, ask it, read its logs."""
