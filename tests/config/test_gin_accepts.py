"""Our files stay true gin: the real library reads the same text and gives the same values."""

import subprocess
import sys

from repro.config.resolve import resolve

METHOD = """
def leaf(x, *, n: int = 0): return n
class Part:
    def __init__(self, *, size: float = 1.0, leaf: object = None): self.size, self.leaf = size, leaf
def run(ctx, *, steps: int, part: Part, plain: object, shape: tuple[int, ...] = ()):
    print(steps, part.size, part.leaf(0), plain(0), shape)
"""
PAPER = """
from __gin__ import dynamic_registration
from papers.real import method

STEPS = 100
method.run:
  steps = %STEPS
  part = @method.Part()
  plain = @method.leaf
method.Part.leaf = @small/method.leaf
method.leaf.n = 1
small/method.leaf.n = 2
arm/method.Part.size = 4.0
"""
MINI = """
from __gin__ import dynamic_registration
include 'papers/real/paper.gin'
from papers.real import method
STEPS = 10
method.run.shape = (1, 2)
"""
PROGRAM = """
import sys, gin
sys.path.insert(0, ".")
gin.parse_config_file("papers/real/mini.gin")
from papers.real import method
with gin.config_scope("arm"):
    gin.get_configurable(method.run)(None)
"""


def test_gin_reads_the_same_values(project):
    project.write({"papers/real/method.py": METHOD, "papers/real/paper.gin": PAPER,
                   "papers/real/mini.gin": MINI})
    paper = project.paper("arm")
    paper.slug, paper.stages = "real", {"run": "papers.real.method.run"}
    config = resolve(paper, "mini").tree["arms"]["arm"]["run"]["config"]
    ours = (config["steps"], config["part"]["size"], config["part"]["leaf"]["n"],
            config["plain"]["n"], tuple(config["shape"]))
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=project.root, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == " ".join(map(str, ours)) == "10 4.0 2 1 (1, 2)"


def test_resolving_imports_neither_torch_nor_the_paper(project):
    project.gin(project.body)
    program = ("import sys; from repro.config import resolve, diff, blame, build\n"
               "print(sorted({'torch', 'transformers', 'numpy'} & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
