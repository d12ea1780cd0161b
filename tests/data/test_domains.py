"""Selections from some sources of a pool, and files of code as documents."""

from collections import Counter
from functools import partial

import pytest

from repro.data import code
from repro.data.documents import Document
from repro.data.domains import within
from repro.data.holdout import held_out, training
from repro.data.subsets import Pool, everything
from repro.errors import UserError

ORIGINS = ["web", "crawl", "web", "web", "crawl", "web"]


def pool():
    documents = tuple(Document(f"{origin}/{at}", (f"text {at}",))
                      for at, origin in enumerate(ORIGINS))
    return Pool(documents, tuple(d.text for d in documents), {"task": Counter()})


def test_a_selection_sees_the_documents_of_its_sources_only():
    web = partial(within, pool(), origins=("web",))
    assert web(select=everything).indices == (0, 2, 3, 5)
    assert web(select=everything, others=True).indices == (1, 4)
    assert web(select=partial(held_out, documents=1)).indices == (5,)
    assert web(select=partial(training, documents=1)).indices == (0, 2, 3)


def test_an_unknown_source_is_an_error_that_names_those_there_are():
    with pytest.raises(UserError, match=r"within.origins = \['wiki'\].*\['crawl', 'web'\]"):
        within(pool(), origins=("wiki",), select=everything)


def test_files_of_code_keep_their_lines_and_indents(fetched):
    fetched("Django")
    files = {item.id: item for item in code.django()}
    text = files["code/django/shortcuts.py"].text
    assert text.startswith('"""\nThis module collects helper functions')
    assert "\n    return HttpResponse(content, content_type, status)" in text
    assert not any("/locale/" in name or "/migrations/" in name for name in files)
