"""CLIP against transformers' own forward pass and open_clip's size; operations by torch's count."""

from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, CLIPModel

from repro.errors import UserError
from repro.nn import clip as clips
from repro.text.tokenizer import VocabInfo
from repro.vision.colours import MEAN, STD

VOCAB = VocabInfo(size=40, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SIZES = {"image_size": 16, "patch": 8, "hidden": 16, "layers": 2, "heads": 2, "intermediate": 32,
         "text_hidden": 12, "text_layers": 1, "text_heads": 3, "text_intermediate": 20,
         "max_positions": 10, "projection": 8}
TINY = partial(clips.clip, **SIZES)
BASE = partial(clips.clip, image_size=224, patch=16, hidden=768, layers=12, heads=12,
               intermediate=3072, text_hidden=512, text_layers=12, text_heads=8,
               text_intermediate=2048)


def model(**settings) -> CLIPModel:
    torch.manual_seed(0)
    return TINY(VOCAB, **settings).eval()


def images(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)


def texts() -> torch.Tensor:
    return torch.tensor([[2, 9, 8, 7, 3, 0, 0], [2, 9, 3, 0, 0, 0, 0], [2, 5, 6, 7, 8, 9, 3]])


def test_vectors_are_those_of_transformers_forward_pass():
    ours = model()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        theirs = ours(input_ids=texts(), pixel_values=(images() / 255 - mean) / std,
                      attention_mask=texts() != 0)
        torch.testing.assert_close(clips.embed_images(ours, images()), theirs.image_embeds)
        torch.testing.assert_close(clips.embed_patches(ours, images())[0], theirs.image_embeds)
        torch.testing.assert_close(clips.embed_texts(ours, texts()), theirs.text_embeds)


def test_what_follows_the_end_is_not_seen():
    ours, longer = model(), torch.nn.functional.pad(texts(), (0, 2), value=17)
    with torch.no_grad():
        torch.testing.assert_close(
            clips.embed_texts(ours, texts()), clips.embed_texts(ours, longer))


def test_patches_lie_where_they_are():
    # Position embeddings off and one layer without attention between patches: each patch's vector
    # depends on its own pixels only.
    ours = model(layers=1)
    with torch.no_grad():
        ours.vision_model.embeddings.position_embedding.weight.zero_()
        for layer in ours.vision_model.encoder.layers:
            layer.self_attn.out_proj.weight.zero_()
        changed = images(1)
        changed[:, :, :8, 8:] = 255 - changed[:, :, :8, 8:]
        before, after = (clips.embed_patches(ours, i)[1][0] for i in (images(1), changed))
    assert before.shape == (4, 8)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(before, after, strict=True)]
    assert same == [True, False, True, True]


def test_the_base_model_has_as_many_parameters_as_open_clips():
    with torch.device("meta"):
        made = BASE(VocabInfo(49408, 0, 1, 2, 3, 4, (0, 1, 2, 3, 4)))
    assert sum(p.numel() for p in made.parameters()) == 149_620_737


def test_what_is_saved_loads_with_the_auto_class(tmp_path):
    ours = model()
    ours.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is CLIPModel
    with torch.no_grad():
        torch.testing.assert_close(
            clips.embed_texts(loaded, texts()), clips.embed_texts(ours, texts()))


@pytest.mark.parametrize("embed", [
    clips.embed_images, lambda ours, some: clips.embed_patches(ours, some)[1]])
def test_recomputing_changes_no_gradient(embed):
    gradients = []
    for recompute in (False, True):
        ours = model(recompute=recompute).train()
        embed(ours, images()).sum().backward()
        gradients.append(ours.vision_model.embeddings.patch_embedding.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("patches", [False, True])
def test_operations_are_those_that_torch_counts(patches):
    ours = model(text_layers=2)
    embed = clips.embed_patches if patches else clips.embed_images
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        embed(ours, images())
        clips.embed_texts(ours, texts())
    assert counter.get_total_flops() == clips.forward_flops(ours, 3, 3, 7, patches)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"text_heads": 5}, {"patch": 5}, {"layers": 0}])
def test_sizes_that_do_not_fit_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        model(**wrong)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(UserError, match="max_positions = 10"):
        clips.embed_texts(model(), torch.zeros(1, 11, dtype=torch.int64))
