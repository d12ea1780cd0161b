"""The clips artefact, its batches, and the questions that language models are asked."""

import json

import numpy as np
import pytest
import torch

from repro.data.causal import CausalRows
from repro.errors import UserError
from repro.lips import lrs3, prompts
from repro.lips.batches import ClipRows, videos
from repro.lips.clips import LANGUAGE, Clips
from repro.text import tokenizer as vocabularies
from repro.train.streams import Streams

from .conftest import SENTENCES, SPLITS, spoken


def test_frames_are_those_of_each_clip(prepare) -> None:
    clips = Clips(prepare())
    for clip, made in zip(clips.every, spoken(SENTENCES), strict=True):
        np.testing.assert_array_equal(clips.video(clip), made.video)
        assert clip.words == tuple(made.text.split()) and clip.split == made.split
        assert clip.phones[0][0] == made.text[0]


def test_no_sentence_of_dev_or_test_is_in_the_text(prepare) -> None:
    folder = prepare()
    held = {text for text, split in zip(SENTENCES, SPLITS, strict=True) if split != "train"}
    assert held and not held & set(Clips(folder).sentences)
    assert len(Clips(folder).sentences) == len(SENTENCES) - len(held)
    tokenizer = vocabularies.load(folder)
    _, batch = CausalRows(corpus="text", batch_size=40, sequence_length=32, packed=False).open(
        folder, Streams(0))
    lines = {" ".join(tokenizer.decode(row.tolist()).split()) for row in batch(0)[0]}
    assert lines.isdisjoint(held)
    assert {"c a t = cat", "| c a t = cat", "the cat sat"} <= lines


def test_transcribed_sentences_stand_behind_both_codes_and_none_is_held_out(prepare) -> None:
    folder = prepare(transcribed=1.0, copies=0)
    tokenizer = vocabularies.load(folder)
    _, batch = CausalRows(corpus="text", batch_size=15, sequence_length=80, packed=False).open(
        folder, Streams(0))
    lines = [" ".join(tokenizer.decode(row.tolist()).split()) for row in batch(0)[0]]
    expected = {"t h e c a t s a t = the cat sat", "| t h e | c a t | s a t = the cat sat"}
    assert expected <= set(lines)
    sentences = Clips(folder).sentences
    assert sorted(line.rpartition("= ")[2] for line in lines) == sorted(sentences * 3)


def test_spellings_by_hand(prepare) -> None:
    clips = Clips(prepare())
    for kind, expected in (("phones", list("thecat")), ("letters", list("|the|cat"))):
        spelling = clips.spelling(kind)
        found = spelling.spell(LANGUAGE, ("the", "cat"))
        assert [spelling.units[unit] for unit in found] == expected
    with pytest.raises(UserError, match="no en.syllables.json"):
        clips.spelling("syllables")


def test_unseen_words_are_those_of_no_training_clip(prepare) -> None:
    assert Clips(prepare()).unseen == {"pat"}


def test_an_altered_artefact_is_refused(prepare) -> None:
    folder = prepare()
    path = folder / "frames.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="frames.npy: corrupted"):
        Clips(folder)


def test_a_missing_split_and_other_pictures_are_refused(prepare) -> None:
    with pytest.raises(UserError, match="no dev clip"):
        prepare(clips=lambda pool: spoken(pool, sentences=4))
    with pytest.raises(UserError, match="expected \\(1, 8, 8\\)"):
        prepare(size=8)


def test_a_batch_holds_each_clip_on_its_last_frame(prepare) -> None:
    clips = Clips(prepare())
    some = clips.of("train")[:2]
    video = videos(clips, some, 60)
    assert video.shape == (2, 60, 1, 16, 16)
    size = some[0].frames
    np.testing.assert_array_equal(video[0, :size].numpy(), clips.video(some[0]))
    assert bool((video[0, size:] == video[0, size - 1]).all())
    with pytest.raises(UserError, match="more than frames = 10"):
        videos(clips, some, 10)


def test_an_epoch_visits_every_clip_once_and_a_share_is_the_same_for_all(prepare) -> None:
    folder = prepare()
    rows = ClipRows(units="letters", batch_size=1, frames=60, size=16)
    spelling, batch = rows.open(folder, Streams(0))
    seen = {tuple(batch(index)[1][0].tolist()) for index in range(5)}
    clips = Clips(folder)
    assert seen == {tuple(spelling.spell(LANGUAGE, clip.words)) for clip in clips.of("train")}
    few = {units: {clip.id for clip in ClipRows(
        units=units, batch_size=1, frames=60, share=0.4).chosen(clips)}
        for units in ("phones", "letters")}
    assert few["phones"] == few["letters"] and len(few["phones"]) == 2


def test_the_example_has_the_shape_of_a_batch(prepare) -> None:
    rows = ClipRows(units="phones", batch_size=2, frames=60, size=16)
    spelling, batch = rows.open(prepare(), Streams(0))
    for made, real in zip(rows.example(spelling), batch(0), strict=True):
        assert (made.dtype, made.ndim) == (real.dtype, real.ndim)
    assert rows.example(spelling)[0].shape == batch(0)[0].shape


def test_questions_and_answers_by_hand(prepare) -> None:
    assert prompts.question(["k", "æ"]) + prompts.answer(["a", "cat"]) == " k æ = a cat"
    tokenizer = vocabularies.load(prepare())
    asked = prompts.questions(tokenizer, [["k", "æ"], []])
    given = prompts.answers(tokenizer, [["a", "cat"], ["sat"]])
    whole = vocabularies.encode(tokenizer, [" k æ = a cat"])[0]
    end, pad = (vocabularies.vocab_info(tokenizer).sep, vocabularies.vocab_info(tokenizer).pad)
    assert [*asked[0], *given[0]] == [*whole, end], "as one text would be cut"
    tokens_BT, keep_BT = prompts.rows(asked, given, 50, pad)
    assert tokens_BT[0][keep_BT[0]].tolist() == given[0]
    assert tokens_BT[1][~keep_BT[1]].tolist() == [
        *asked[1], *[pad] * (tokens_BT.shape[1] - len(asked[1]) - len(given[1]))]


def test_an_overlong_question_loses_its_beginning(prepare) -> None:
    tokens_BT, keep_BT = prompts.rows([[5, 6, 7, 8]], [[1, 2]], 4, pad=0)
    assert tokens_BT.tolist() == [[7, 8, 1, 2]] and keep_BT.tolist() == [[False, False, True, True]]
    with pytest.raises(UserError, match="an answer has 2 tokens"):
        prompts.rows([[5]], [[1, 2]], 2, pad=0)


def test_lrs3_without_a_copy_says_where_to_put_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("REPRO_ASSETS", str(tmp_path))
    with pytest.raises(UserError, match="lrs3/trainval: no <speaker>/<number>.mp4"):
        next(lrs3.recordings([], frames=16, size=224))
    assert lrs3.spaced(31, 16) == list(range(0, 31, 2))


def test_utterances_are_stored_as_plain_json(prepare) -> None:
    rows = json.loads((prepare() / "utterances.json").read_text("utf-8"))
    assert set(rows[0]) == {"id", "speaker", "split", "words", "start", "frames", "phones"}
    assert torch.tensor([row["frames"] for row in rows]).sum() == rows[-1]["start"] + rows[-1][
        "frames"]
