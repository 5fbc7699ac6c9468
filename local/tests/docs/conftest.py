import sys
from pathlib import Path

# importlib mode adds no test folder to the path; the reader of pages is shared by these tests.
sys.path.insert(0, str(Path(__file__).parent))
