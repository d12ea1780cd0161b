"""The measurements' own code: bench/ is a folder of scripts, not a package."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "bench"))

os.environ["BENCH_SIZE"] = "tiny"  # read when loops.setting is imported
