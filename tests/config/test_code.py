from importlib import metadata

import pytest

from repro.config import code, resolved
from repro.config.source import Sources
from repro.errors import UserError

FILES = {
    "repro/__init__.py": '"""The core."""\n',
    "repro/a/__init__.py": "from .one import f\n",
    "repro/a/one.py": '"""Doc."""\nRATE = 1\n\ndef f():\n    """Doc."""\n    return RATE  # why\n',
    "repro/b.py": "def g():\n    from repro.c import h\n    return h\n",
    "repro/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from repro import d\n"
                  "def h():\n    import importlib\n    return importlib.import_module('repro.e')\n",
    "repro/d.py": "",
    "repro/e.py": "E = 1\n",
    "papers/demo/method.py": "import repro.b\nfrom papers.demo.parts import p\nimport torch\n",
    "papers/demo/parts.py": "p = 1\n",
}


@pytest.fixture
def suite(project):
    project.write(FILES)
    return project


def digest(suite, *modules):
    return code.digest(modules, Sources(suite.root))


def test_the_closure_holds_packages_and_imports_inside_functions(suite):
    found = code.closure(["papers.demo.method"], Sources(suite.root))
    assert list(found) == ["papers.demo.method", "papers.demo.parts", "repro", "repro.b", "repro.c",
                           "repro.e"]
    assert list(code.closure(["repro.a"], Sources(suite.root))) == ["repro", "repro.a",
                                                                     "repro.a.one"]


def test_comments_docstrings_and_layout_do_not_count(suite):
    before = digest(suite, "repro.a.one")
    assert len(before) == 12 and int(before, 16) >= 0
    suite.write({"repro/a/one.py": '"""Other."""\nRATE = (\n    1\n)\n\n\ndef f():\n'
                                   '    "other"\n    # and a comment\n    return RATE\n'})
    assert digest(suite, "repro.a.one") == before


@pytest.mark.parametrize("name", ["repro/a/one.py", "repro/a/__init__.py", "repro/__init__.py"])
def test_a_constant_counts_wherever_it_is_executed(suite, name):
    before = digest(suite, "repro.a.one")
    suite.write({name: FILES[name] + "\nRATE = 2\n"})
    assert digest(suite, "repro.a.one") != before


def test_the_digest_follows_imports_that_stand_in_functions_only(suite):
    before, other = digest(suite, "papers.demo.method"), digest(suite, "repro.a")
    old = code.closure(["papers.demo.method"], Sources(suite.root))
    suite.write({"repro/e.py": "E = 2\n"})
    assert digest(suite, "papers.demo.method") != before
    assert digest(suite, "repro.a") == other
    new = code.closure(["papers.demo.method"], Sources(suite.root))
    assert code.changed(old, new) == ["repro.e"]


def test_imports_for_type_checkers_do_not_count(suite):
    before = digest(suite, "repro.c")
    suite.write({"repro/d.py": "D = 5\n"})
    assert digest(suite, "repro.c") == before


def test_a_constant_and_a_name_of_the_same_spelling_differ(suite):
    suite.write({"repro/d.py": "D = 'x'\n"})
    before = digest(suite, "repro.d")
    suite.write({"repro/d.py": "D = x\n"})
    assert digest(suite, "repro.d") != before


def test_the_checksum_of_an_asset_counts_in_modules_that_name_it_only(suite):
    def write(sha, other="c" * 64):
        suite.write({
            "repro/data/assets.yaml": f"brown: {{sha256: {sha}}}\nother: {{sha256: {other}}}\n",
            "repro/data/reader.py": "def read():\n    return load('brown')\n",
        })
        return digest(suite, "repro.data.reader"), digest(suite, "repro.a.one")

    (reads, does_not), again = write("a" * 64), write("a" * 64, other="d" * 64)
    changed, unchanged = write("b" * 64)
    assert (reads, does_not) == again
    assert changed != reads
    assert unchanged == does_not


def test_libraries_are_those_that_the_closure_imports(suite):
    (suite.root / "repro/d.py").write_text("def f():\n    from PIL import Image\n")
    found = code.libraries(["repro.c", "papers.demo.method"], Sources(suite.root))
    assert {"torch", "typing"} <= found and not {"PIL", "repro", "papers"} & found
    assert "PIL" in code.libraries(["repro.d"], Sources(suite.root))


def test_a_library_that_few_papers_use_is_versioned_in_their_sections_only():
    here = metadata.version("opacus")
    assert resolved.extra_versions({"numpy", "opacus"}) == {"opacus": here}
    assert resolved.extra_versions({"numpy", "torch"}) == {}


def test_a_section_names_its_modules():
    config = {"_fn": "repro.b.g", "steps": 3, "parts": [{"_ref": "papers.demo.method.M"}],
              "more": {"x": {"_fn": "repro.c.h"}}}
    assert code.section_modules(config) == {"repro.b", "papers.demo.method", "repro.c"}


def test_code_of_another_paper_is_refused(suite):
    suite.write({"papers/demo/method.py": "x = 1\nfrom papers.other import method\n",
                 "papers/other/method.py": ""})
    with pytest.raises(UserError, match=r"^papers/demo/method.py:2: imports papers.other"):
        digest(suite, "papers.demo.method")


def test_an_unknown_module_and_broken_python_are_errors(suite):
    with pytest.raises(UserError, match="unknown module 'repro.zzz'"):
        digest(suite, "repro.zzz")
    suite.write({"repro/e.py": "x = = 1\n"})
    with pytest.raises(UserError, match=r"^repro/e.py:1: not valid Python"):
        digest(suite, "papers.demo.method")
