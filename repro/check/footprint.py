"""How large a training run is, measured on the meta device: shapes and types without values.

A batch of the largest shape goes through the real objective once, forward and backward, and the
real optimiser makes its state; only the memory behind the tensors is missing, and it is counted as
it would be taken and given back.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from repro.train.held import state_bytes
from repro.train.objective import Batch, Batches, Objective
from repro.train.streams import Streams

# What torch.autocast runs in bfloat16, and what it runs in float32, of what encoders call.
_LOWER = {"linear", "matmul", "__matmul__", "bmm", "baddbmm", "addmm", "einsum", "conv1d", "conv2d",
          "scaled_dot_product_attention"}
_UPPER = {"layer_norm", "rms_norm", "group_norm", "softmax", "log_softmax", "cross_entropy",
          "nll_loss", "mse_loss", "binary_cross_entropy_with_logits", "kl_div", "exp", "log",
          "log1p", "pow", "norm", "sum", "prod", "cumsum", "logsumexp"}


@dataclass(frozen=True)
class Footprint:
    """exported, trained: parameters, of what is kept and of all that is trained. The others in
    bytes: weights, state of the optimiser, and the most that one forward and backward pass holds
    beside them, gradients included (None where values would be needed to know)."""

    exported: int
    trained: int
    weights: int
    optimizer: int
    working: int | None


class Live(TorchDispatchMode):
    """Counts the bytes of the tensors of a device that are alive. peak: the most so far."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.now, self.peak = device, 0, 0
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = function(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self.add, found)
        return found

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage until the last tensor on it is gone."""
        if tensor.device.type != self.device:
            return
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self._seen:
            return

        def gone(_: Any) -> None:
            del self._seen[place]
            self.now -= size

        self._seen[place] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


class GpuLike(TorchFunctionMode):
    """Runs a model on the meta device with the types and kernels that a GPU would use.

    autocast has no rules for the meta device, and attention and dropout there are those that keep
    more than CUDA's do. bf16: with autocast's types.
    """

    def __init__(self, bf16: bool) -> None:
        super().__init__()
        self.bf16 = bf16

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if self.bf16 and name in _LOWER | _UPPER:
            target = torch.bfloat16 if name in _LOWER else torch.float32
            args, kwargs = _cast(args, target), _cast(kwargs, target)
        if function is F.scaled_dot_product_attention:
            return _attend(*args, **kwargs)
        if function is F.dropout:
            return _drop(*args, **kwargs)
        return function(*args, **kwargs)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    match value:
        case torch.Tensor():
            return value.to(dtype) if value.is_meta and value.is_floating_point() else value
        case dict():
            return {key: _cast(item, dtype) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_cast(item, dtype) for item in value)
    return value


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
    **others: Any,
) -> torch.Tensor:
    """Return attention by a fused kernel, which keeps no T x T matrix; with a mask there is none
    here."""
    if attn_mask is None and not others.get("enable_gqa") and query.is_meta:
        # The CPU's kernel keeps what CUDA's keeps: inputs, output and a number a row. Its dropout
        # must be off, and takes no memory where it is on.
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return fused(query, key, value, 0.0, is_causal, scale=others.get("scale"))[0]
    return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal,
                                          **others)


def _drop(
    x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """Return dropout by the kernel that keeps a mask of one byte an element."""
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x


def measure(
    objective: Objective,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    batches: Batches,
    vocab: Any,
    *,
    bf16: bool,
) -> tuple[Footprint, nn.Module]:
    """Return the footprint of one batch of the largest shape, and the model on the meta device.

    Raises UserError as the objective does, for example for rows longer than its positions.
    """
    with torch.device("meta"):
        model = objective.build(vocab, Streams(0)).train()
    trained = list(model.parameters())
    try:
        working = _working(objective, model, batches.example(vocab), GpuLike(bf16))
    except (NotImplementedError, RuntimeError):
        # An operation whose result's shape depends on values has no answer here.
        working = None
    return Footprint(
        exported=sum(p.numel() for p in objective.exported(model).parameters()),
        trained=sum(p.numel() for p in trained),
        weights=sum(p.nbytes for p in trained),
        optimizer=state_bytes(optimizer(model)),
        working=working,
    ), model


def _working(
    objective: Objective, model: nn.Module, batch: Batch, kernels: TorchFunctionMode
) -> int:
    """Return the most bytes that a forward and backward pass holds beside the weights."""
    with Live(next(model.parameters()).device.type) as live:
        for tensor in (*model.parameters(), *model.buffers()):
            live.add(tensor)
        before = live.now
        with kernels:
            loss = objective.loss(model, *batch, Streams(0), 0)["loss"]
        loss.backward()
    return live.peak - before
