import sys
from pathlib import Path

# importlib mode adds no test folder to the path; the strategies are shared by this folder's tests.
sys.path.insert(0, str(Path(__file__).parent))
