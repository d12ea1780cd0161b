"""Hub data of the paper profile, read from small local files in the hub's own formats."""

import json
import time
from functools import partial

import pytest

from repro.data import hub
from repro.data.tasks import topics
from repro.errors import UserError

REVISION = "0123456789abcdef"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("REPRO_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path):
    def make(name: str):
        path = tmp_path / "assets/hub" / name
        path.mkdir(parents=True)
        return path

    return make


def write_parquet(path, rows: dict, classes: list[str] | None = None) -> None:
    import datasets

    data = datasets.Dataset.from_dict(rows)
    if classes:
        data = data.cast_column("label", datasets.ClassLabel(names=classes))
    data.to_parquet(path)


def test_running_text_is_shuffled_and_counted(folder):
    texts = [f"Title {index}\n\nBody {index}.\n" for index in range(20)]
    path = folder("wikimedia/wikipedia/20231101.en") / "train-00000-of-00001.parquet"
    write_parquet(path, {"text": texts})
    settings = {"dataset": "wikimedia/wikipedia", "config": "20231101.en", "revision": REVISION}
    in_order = list(hub.text(**settings))
    assert len(in_order) == 20 and in_order[3].parts == ("Title 3", "Body 3.")
    five = list(hub.text(**settings, documents=5, shuffle_seed=42))
    nine = list(hub.text(**settings, documents=9, shuffle_seed=42))
    assert five == nine[:5] and [d.parts for d in five] != [d.parts for d in in_order[:5]]


def test_labelled_documents_keep_class_names_and_published_splits(folder):
    path = folder("fancyzhx/ag_news")
    for split in ("train", "test"):
        texts = [f"{split} news {index}" for index in range(12)]
        rows = {"text": texts, "label": [index % 2 for index in range(12)]}
        write_parquet(path / f"{split}.parquet", rows, ["World", "Sports"])
    read = partial(
        hub.labelled, dataset="fancyzhx/ag_news", revision=REVISION, field="text", label="label"
    )
    task = topics.classify(source=read, train=8, dev=4, test=10, published_split=True)
    assert task.labels == ("Sports", "World")
    assert all(example.text.startswith("test") for example in task.test)
    assert all(example.text.startswith("train") for example in task.train + task.dev)


def test_token_lists_of_json_lines_are_joined(folder):
    rows = [{"tokens": ["Paris", "is", "in", "France", "."], "relation": "P17"}] * 2
    path = folder("thunlp/few_rel") / "train_wiki.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    documents = list(
        hub.labelled(
            dataset="thunlp/few_rel",
            revision=REVISION,
            field="tokens",
            label="relation",
            splits=("train_wiki",),
        )
    )
    assert documents[0].text == "Paris is in France ." and documents[0].label == "P17"
    assert documents[0].group != documents[1].group


def test_glue_takes_its_test_from_the_validation_set(folder):
    path = folder("nyu-mll/glue/mnli")
    for split, size in (("train", 10), ("validation_matched", 4)):
        rows = {
            "premise": [f"{split} p{index}" for index in range(size)],
            "hypothesis": [f"h{index}" for index in range(size)],
            "label": [index % 3 for index in range(size)],
        }
        write_parquet(path / f"{split}.parquet", rows, ["entailment", "neutral", "contradiction"])
    task = hub.glue(task="mnli", revision=REVISION, dev=3, train=5)
    assert task.kind == "pair" and task.labels[0] == "entailment"
    assert [len(task.train), len(task.dev), len(task.test)] == [5, 3, 4]
    assert task.test[0].text == "validation_matched p0" and task.test[0].pair == "h0"


def test_single_sentences_and_ratings_of_glue(folder):
    cola, stsb = folder("nyu-mll/glue/cola"), folder("nyu-mll/glue/stsb")
    for split in ("train", "validation"):
        rows = {"sentence": ["a b", "b a", "c"], "label": [1, 0, 1]}
        write_parquet(cola / f"{split}.parquet", rows)
        rows = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [0.5, 4.0]}
        write_parquet(stsb / f"{split}.parquet", rows)
    task = hub.glue(task="cola", revision=REVISION, dev=1)
    assert task.kind == "classification" and task.test[0].pair is None
    assert task.labels == ("0", "1") and task.primary == "mcc"
    task = hub.glue(task="stsb", revision=REVISION, dev=1)
    assert task.kind == "regression" and task.labels == () and task.test[1].label == 4.0


def test_squad_without_an_answer_is_unanswerable(folder):
    path = folder("rajpurkar/squad_v2")
    answers = [{"text": ["x"], "answer_start": [0]}, {"text": [], "answer_start": []}]
    rows = {"question": ["q1", "q2"], "context": ["c1", "c2"], "answers": answers}
    for split in ("train", "validation"):
        write_parquet(path / f"{split}.parquet", rows)
    task = hub.squad_answerable(revision=REVISION, dev=1)
    assert [example.label for example in task.test] == [1, 0]


def test_what_is_missing_says_what_to_download_and_where_to_put_it(tmp_path):
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        list(hub.text(dataset="nobody/nothing", revision=REVISION))
    message = str(caught.value)
    assert f"hf download nobody/nothing --repo-type dataset --revision {REVISION}" in message
    assert str(tmp_path / "assets/hub/nobody/nothing") in message and "\n" not in message
    assert time.monotonic() - started < 30


def test_wrong_files_and_fields_are_named(folder):
    path = folder("some/set")
    (path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"no files train\*.parquet.*found notes.txt"):
        list(hub.text(dataset="some/set", revision=REVISION))
    (path / "train.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match="train is unreadable"):
        list(hub.text(dataset="some/set", revision=REVISION))
    write_parquet(path / "train.parquet", {"body": ["x"]})
    with pytest.raises(UserError, match="no field 'text'; there are body"):
        list(hub.text(dataset="some/set", revision=REVISION))
