import sys
from pathlib import Path

# The simulator is a package beside the service, which is not installed with it.
sys.path.insert(0, str(Path(__file__).parents[2] / "simulation"))
