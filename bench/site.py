"""How long `repro report` takes for a suite of 66 full papers, and how large the pages are.

The papers of this repository are copied under other names until there are 66; each has all its
settings, results, curves and costs. Writes bench/results/site.json.

    python bench/site.py [PAPERS]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import suites

from repro.report.site.build import build

ROOT = Path(__file__).parents[1]
SOURCES = ("electra", "tiny_lm")


def measure(root: Path) -> dict:
    """Build the site; return seconds (of the clock, and of the processor: on a busy machine only
    those mean something), how many processes waited for a core, files and bytes."""
    started = time.monotonic()
    before = time.process_time()
    pages = build(root, root / "site")
    return {"seconds": round(time.monotonic() - started, 2),
            "core_seconds": round(time.process_time() - before, 2),
            "load_per_core": round(os.getloadavg()[0] / os.cpu_count(), 1), "files": len(pages),
            "largest_page_kb": round(max(pages.values()) / 1000, 1),
            "board_kb": round(pages["index.html"] / 1000, 1),
            "all_kb": round(sum(pages.values()) / 1000)}


def main() -> None:
    papers = int(sys.argv[1]) if len(sys.argv) > 1 else 66
    if len(sys.argv) > 2:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        suites.renamed(root, SOURCES, papers)
        done = subprocess.run([sys.executable, __file__, str(papers), folder], check=True,
                              capture_output=True, text=True)
    found = {"papers": papers, **json.loads(done.stdout.splitlines()[-1])}
    target = ROOT / "bench" / "results" / "site.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
