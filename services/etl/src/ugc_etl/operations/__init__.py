"""What operators do: audit, repair, replay, dead letters, erasure.

Each command gathers from the stores (`ports`), decides in plain functions, and applies. All may be
interrupted anywhere and repeated; what changes something first says what it would do.
"""
