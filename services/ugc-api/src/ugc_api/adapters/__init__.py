"""One module for each implementation of a port."""
