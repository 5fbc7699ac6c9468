"""The HTTP surface; the one package here that imports Flask."""
