"""The written site, without a browser: links, tables, sizes, bytes."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import PurePosixPath

import pytest

from repro import yaml
from repro.errors import UserError
from repro.paper import Paper
from repro.report import results
from repro.report.site import board, curves
from repro.report.site.build import build, render

LARGEST = 500_000
VOID = {"meta", "link", "input", "br", "img", "wbr"}
DRAWN = {"path", "line", "rect", "circle"}


class Page(HTMLParser):
    """ids, links and ids of sections; figures outside a section with a table."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.stack, self.unclosed = [], [], [], []
        self.sections, self.words = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag == "section":
            self.sections.append({"img": 0, "table": 0})
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes["aria-label"]
            self.sections[-1]["img"] += 1
        if tag == "table":
            self.sections[-1]["table"] += 1
        if tag not in VOID | DRAWN:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID | DRAWN and self.stack.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def broken(pages):
    """Return the links that lead to no file or id of the site."""
    ids = {name: set(Page(text).ids) for name, text in pages.items() if name.endswith(".html")}
    found = []
    for name in ids:
        for link in Page(pages[name]).links:
            if link.startswith(("https://", "data:")):
                continue
            path, _, fragment = link.partition("#")
            target = os.path.normpath(PurePosixPath(name).parent / path) if path else name
            if target not in pages or (fragment and fragment not in ids[target]):
                found.append(f"{name}: {link}")
    return found


def html(pages):
    return {name: text for name, text in pages.items() if name.endswith(".html")}


def test_the_real_site_is_whole(real_site):
    assert set(real_site) == {"index.html", "static/style.css", "static/site.js", *(
        f"papers/{paper.slug}.html" for paper in Paper.all())}
    assert broken(real_site) == []
    for name, text in html(real_site).items():
        page = Page(text)
        assert len(set(page.ids)) == len(page.ids), name
        assert page.unclosed == page.stack == [], name
        assert len(text.encode()) <= LARGEST, name
        assert [s for s in page.sections if s["img"] and not s["table"]] == [], name


def test_the_board_has_every_paper_of_the_plan(real_site):
    planned = board.load_planned()
    assert len(planned) == 66
    entries = board.entries(Paper.all(), planned)
    assert {entry["slug"] for entry in entries} >= set(planned)
    text = Page(real_site["index.html"]).text
    assert all(" ".join(about["title"].split()) in text for about in planned.values())
    assert text.count("planned ") >= sum(not entry["built"] for entry in entries)


def test_the_papers_that_are_built_have_their_title_from_the_plan():
    planned = board.load_planned()
    titles = {paper.slug: paper.title for paper in Paper.all() if paper.slug in planned}
    assert titles == {slug: planned[slug]["title"] for slug in titles}


def test_all_four_verdicts_stand_on_the_board_in_the_same_way(suite):
    text = suite.render()["index.html"]
    for name in ("reproduced", "contradicted", "inconclusive", "untestable"):
        assert f'<li class="v-{name}"><span class="big">' in text


def test_a_contradicted_claim_is_shown_like_a_reproduced_one(suite):
    values = {arm: dict(tasks) for arm, tasks in suite.values.items()}
    values["plain"], values["better"] = values["better"], values["plain"]
    page = suite.render(values)["papers/toy.html"]
    assert '<article class="claim v-contradicted"' in page
    assert '<span class="badge  v-contradicted">' in page
    assert "contradicted" in Page(page).text


def test_the_numbers_of_the_table_are_those_of_the_verdict(suite):
    page = Page(suite.render()["papers/toy.html"])
    assert "better_wins reproduced 75.1 → 79.9 +4.8" in page.text
    assert "+0.054" in page.text


def test_what_a_paper_writes_cannot_become_markup(suite):
    content = yaml.load(suite.dir / "paper.yaml")
    content["title"] = 'Toys <script>alert("1")</script> & `more`'
    content["notes"] = ["<img src=x onerror=alert(1)> and `code`"]
    yaml.dump(content, suite.dir / "paper.yaml")
    pages = suite.render()
    assert broken(pages) == []
    for text in html(pages).values():
        assert "<script>alert" not in text and "<img" not in text
    assert "<code>code</code>" in pages["papers/toy.html"]


def test_a_paper_that_was_never_run_has_a_page_that_says_so(suite):
    pages = html(render(suite.root))
    assert "Nothing has been judged yet" in pages["papers/toy.html"]
    assert "not run" in Page(pages["index.html"]).text


def test_the_same_files_make_the_same_bytes_in_another_process(suite, tmp_path):
    first = suite.render()
    code = ("import sys; from pathlib import Path; from repro.report.site.build import build;"
            "build(Path(sys.argv[1]), Path(sys.argv[2]))")
    env = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    out = tmp_path / "again"
    subprocess.run([sys.executable, "-c", code, str(suite.root), str(out)], check=True, env=env)
    assert {name: (out / name).read_text("utf-8") for name in first} == first


def test_a_site_replaces_a_former_one_and_nothing_else(suite, tmp_path):
    suite.render()
    out = tmp_path / "site"
    build(suite.root, out)
    (out / "papers" / "gone.html").write_text("a paper that was taken away")
    sizes = build(suite.root, out)
    assert not (out / "papers" / "gone.html").exists()
    assert sizes == {name: (out / name).stat().st_size for name in sizes}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="holds something else"):
        build(suite.root, mine)
    with pytest.raises(UserError, match="is a file"):
        build(suite.root, mine / "thesis.txt")
    assert (mine / "thesis.txt").read_text() == "precious"


def test_curves_keep_the_first_and_the_last_point(suite):
    suite.render()
    paper = Paper.load(suite.dir)
    found = curves.read(paper, "mini")
    assert list(found) == ["plain", "better", "small"]
    panel = curves.panels(found)[0]
    # Step 1 of 200 and loss 9.02, the largest; step 200, the smallest.
    assert panel.path.startswith("M45.22,") and len(panel.dots) == 3
    assert panel.dots[-1][0] == curves.WIDTH - curves.RIGHT
    assert panel.dots[0][1] < panel.dots[-1][1]
    assert panel.said == "plain: training loss from 9.02 at update 1 to 0.065 at update 200"
    assert [row["step"] for row in curves.table(found)] == [1, 100, 200]


def test_a_broken_curve_names_its_file(suite):
    suite.render()
    path = results.results_dir(Paper.load(suite.dir)) / "mini.curves" / "plain.csv"
    path.write_text("step,los\n1,2\n")
    with pytest.raises(UserError, match=r"plain\.csv: expected the columns step,loss"):
        curves.read(Paper.load(suite.dir), "mini")


def test_the_forecast_of_the_papers_scale_has_its_section(suite):
    from repro.report import forecasts

    assert 'id="scale"' not in suite.render()["papers/toy.html"]
    amounts = {"runs": 5, "flops": 5e18, "tokens": 5e9, "seconds_a_run": [36000.0, 360000.0],
               "core_hours": [400.0, 4000.0], "gpu_hours": [50.0, 500.0],
               "energy_kwh": [10.0, 250.0]}
    report = {"runs": 5, "total": amounts, "assumed": ["GPU: <A100>"], "paper_says": [],
              "stages": [{"stage": "pretrain", "arms": [{"arm": "better", **amounts}]}]}
    tree = {"seeds": [0], "arms": {}}
    forecasts.write(Paper.load(suite.dir), report, tree)
    pages = suite.render()
    assert broken(pages) == []
    text = Page(pages["papers/toy.html"]).text
    assert "50 to 500 GPU-hours" in text and "10 kWh to 250 kWh of energy" in text
    assert "better 5 1 E 10 to 100 50 to 500" in text and "made for older settings" in text
    assert "<A100>" not in pages["papers/toy.html"] and "<A100>" in text
