"""Video transformers that recognise: tubelets, VideoMAE, convolutions over its tokens, CTC.

B clips, T frames, C channels, S pixels a side, P tokens (tubelets of space and time, in the order
of time), N outputs, V units.
"""

from math import prod

import torch
from torch import nn
from transformers import VideoMAEConfig, VideoMAEModel
from transformers import initialization as init
from transformers.models.videomae.modeling_videomae import VideoMAEPreTrainedModel

from repro.errors import UserError
from repro.nn import flops


class VideoMAEForCTC(VideoMAEPreTrainedModel):
    """VideoMAE, strided convolutions over the row of its tokens, and a linear layer over units.

    Saved, the folder's encoder loads with AutoModel. What transformers' configuration has no name
    for stands in it as ctc_units, ctc_strides, ctc_pool, ctc_adapter, ctc_hidden.
    """

    def __init__(self, config: VideoMAEConfig) -> None:
        super().__init__(config)
        self.videomae = VideoMAEModel(config)
        layers: list[nn.Module] = []
        width = config.hidden_size
        for stride in config.ctc_strides:
            kernel = 3 if layers else 5
            layers += [nn.Conv1d(width, config.ctc_adapter, kernel, stride, padding=kernel // 2),
                       nn.BatchNorm1d(config.ctc_adapter), nn.ReLU()]
            width = config.ctc_adapter
        self.downsampling = nn.Sequential(*layers, nn.AvgPool1d(config.ctc_pool))
        self.adapter = nn.Sequential(nn.Linear(width, config.ctc_hidden), nn.ReLU())
        self.lm_head = nn.Linear(config.ctc_hidden, config.ctc_units)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Draw weights by He et al. 2015, as the released code: the usual 0.02 of transformers is
        made for wider layers, and leaves positions far louder than what is seen."""
        super()._init_weights(module)
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv3d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return logits_BNV. pixel_values: (B, T, C, S, S) float."""
        tokens_BPD = self.videomae(pixel_values).last_hidden_state
        features_BND = self.downsampling(tokens_BPD.transpose(1, 2)).transpose(1, 2)
        return self.lm_head(self.adapter(features_BND))


def outputs_of(tokens: int, strides: tuple[int, ...], pool: int) -> int:
    """Return how many outputs so many tokens come to: each stride divides and rounds up, the pool
    rounds down."""
    for stride in strides:
        tokens = -(-tokens // stride)
    return tokens // pool


def tubelet_ctc(
    units: int,
    /,
    *,
    frames: int,
    image_size: int,
    places: int,
    channels: int = 3,
    patch: int = 16,
    tubelet: int = 2,
    hidden: int = 768,
    layers: int = 8,
    heads: int = 12,
    intermediate: int = 3072,
    dropout: float = 0.2,
    attention_dropout: float = 0.0,
    strides: tuple[int, ...] = (2, 2, 2),
    pool: int = 1,
    adapter: int = 256,
    ctc_hidden: int = 768,
) -> VideoMAEForCTC:
    """Return a recogniser of `units` for clips of `frames` frames, from torch's global generator.

    places: outputs that the longest transcript needs, one a unit and a blank between equal ones; a
    model with fewer could never write it. Raises UserError for such a model, for sizes that do not
    divide, and heads that do not divide hidden.
    Source: Thomas et al. 2025, released code; the encoder as Tong et al. 2022 (VideoMAE).
    """
    if heads < 1 or hidden % heads:
        raise UserError(f"heads = {heads}: must divide hidden = {hidden}")
    if image_size % patch or frames % tubelet:
        raise UserError(f"patch = {patch} and tubelet = {tubelet}: must divide image_size = "
                        f"{image_size} and frames = {frames}")
    if not strides or min(*strides, pool) < 1:
        raise UserError(f"strides = {strides}, pool = {pool}: expected at least 1 each")
    tokens = (frames // tubelet) * (image_size // patch) ** 2
    outputs = outputs_of(tokens, strides, pool)
    if outputs < places:
        raise UserError(f"strides = {strides}, pool = {pool}: {tokens} tokens become {outputs} "
                        f"outputs, and CTC needs places = {places}")
    return VideoMAEForCTC(VideoMAEConfig(
        image_size=image_size, patch_size=patch, num_channels=channels, num_frames=frames,
        tubelet_size=tubelet, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=intermediate, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=attention_dropout, use_mean_pooling=False,
        attn_implementation="sdpa", ctc_units=units, ctc_strides=list(strides), ctc_pool=pool,
        ctc_adapter=adapter, ctc_hidden=ctc_hidden,
    ))


def log_probabilities(model: VideoMAEForCTC, video_BTCSS: torch.Tensor) -> torch.Tensor:
    """Return log_probs_BNV float32 on the model's device. video_BTCSS: uint8, on the CPU.

    Each clip is brought to mean 0 and deviation 1: light and skin are not what is read.
    """
    pixels = video_BTCSS.to(model.device).float()
    spread, mean = torch.std_mean(pixels, dim=(1, 2, 3, 4), keepdim=True)
    return model((pixels - mean) / (spread + 1)).float().log_softmax(dim=-1)


def training_flops(model: VideoMAEForCTC, rows: int) -> int:
    """Return the operations of an update on so many clips, multiply-add = 2: dense layers and
    convolutions of every module, scores and weighted sum over P x P."""
    config = model.config
    embeddings = model.videomae.embeddings.patch_embeddings
    tokens = embeddings.num_patches
    total = 2 * rows * tokens * embeddings.projection.weight.numel()
    for layer in model.videomae.modules():
        if isinstance(layer, nn.Linear):
            total += flops.linear(rows * tokens, layer.in_features, layer.out_features)
    total += config.num_hidden_layers * 2 * flops.linear(rows * tokens, tokens, config.hidden_size)
    steps = tokens
    for layer in model.downsampling:
        if isinstance(layer, nn.Conv1d):
            steps = -(-steps // prod(layer.stride))
            total += 2 * rows * steps * layer.weight.numel()
    steps //= config.ctc_pool
    for layer in (model.adapter[0], model.lm_head):
        total += flops.linear(rows * steps, layer.in_features, layer.out_features)
    return flops.training(total)
