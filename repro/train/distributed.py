"""Data parallelism whose bits do not depend on the number of tasks.

An update sums the gradients of its S = accumulation batches as one balanced binary tree over the
index of the batch. Float addition commutes but does not associate, so the sum has the same bits
wherever each node of the tree is computed:

    S = 8    ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))
    W = 4    task 0: 0 + 1 | task 1: 2 + 3 | task 2: 4 + 5 | task 3: 6 + 7, then between the tasks

Each task takes one block of S / W consecutive batches, a power of two, which makes its block a node
of the tree. Between the tasks every one adds up one W-th of the gradient (all to all) and hands its
sums round (all gather): 2 (W - 1) / W gradients sent per task and update, whatever W. Nothing else
differs between tasks: batches and dropout are functions of the batch's index, and each task makes
the whole update. So the number of tasks is not part of what a run is, and any number of them can
go on from a checkpoint. The price is memory: up to log2(S / W) + 1 partial sums per task.

Messages about the run itself travel on the CPU, so that an accelerator never waits for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from repro.errors import UserError

Terms = list[torch.Tensor | None]
BUCKET = 1 << 24  # elements exchanged at a time: bounds the memory of the copies
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class TreeSum:
    """The sum of lists of tensors as a balanced binary tree over the order they come in.

    A missing tensor (None) adds nothing. Terms are overwritten. Holds at most log2(n) + 1 lists.
    """

    def __init__(self) -> None:
        self._nodes: list[tuple[int, Terms]] = []  # leaves below, sum; sizes fall

    def add(self, terms: Terms) -> None:
        """Take in the next list."""
        size = 1
        while self._nodes and self._nodes[-1][0] == size:
            terms = _sum(self._nodes.pop()[1], terms)
            size *= 2
        self._nodes.append((size, terms))

    def total(self) -> Terms:
        """Return the sum; where the count is no power of two, smaller subtrees join first."""
        _, total = self._nodes.pop()
        while self._nodes:
            total = _sum(self._nodes.pop()[1], total)
        return total


def _is_power(number: int) -> bool:
    """Return whether a positive number is a power of two."""
    return number & (number - 1) == 0


def _sum(left: Terms, right: Terms) -> Terms:
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if pairs:
        torch._foreach_add_([a for a, _ in pairs], [b for _, b in pairs])
    return [b if a is None else a for a, b in zip(left, right, strict=True)]


@dataclass(frozen=True)
class World:
    """The tasks that train one model together. rank: this one, from 0. size: how many."""

    rank: int = 0
    size: int = 1

    def share(self, step: int, count: int) -> range:
        """Return the indices of this task's batches of one update of count batches."""
        block = count // self.size
        first = step * count + self.rank * block
        return range(first, first + block)

    def check(self, count: int) -> None:
        """Raise UserError if count batches cannot be shared out as nodes of one tree."""
        fitting = {w for w in range(1, count + 1) if count % w == 0 and _is_power(count // w)}
        if self.size not in fitting | {1}:
            raise UserError(
                f"accumulation = {count} with {self.size} tasks: expected a number of tasks that "
                "shares it into blocks of a power of two: "
                + ", ".join(map(str, sorted(fitting | {1})))
            )

    def add_up(self, parameters: list[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the tasks, which all get the same bits."""
        from torch import distributed

        known = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
        distributed.all_reduce(known, op=distributed.ReduceOp.MAX)
        used = [p for p, flag in zip(parameters, known.tolist(), strict=True) if flag]
        for parameter in used:
            if parameter.grad is None:  # -0.0 is what adds nothing, to 0.0 and to -0.0
                parameter.grad = torch.full_like(parameter, -0.0)
        for bucket in _buckets([p.grad for p in used]):
            self._add_up(bucket)

    def _add_up(self, tensors: list[torch.Tensor]) -> None:
        from torch import distributed

        sizes = [tensor.numel() for tensor in tensors]
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        flat = nn.functional.pad(flat, (0, -len(flat) % self.size))
        theirs = torch.empty_like(flat)
        distributed.all_to_all_single(theirs, flat)
        tree = TreeSum()
        for part in theirs.chunk(self.size):
            tree.add([part])
        distributed.all_gather_single(flat, tree.total()[0])
        for tensor, part in zip(tensors, flat[: sum(sizes)].split(sizes), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of all tasks, in the order of their ranks."""
        if self.size == 1:
            return rows
        from torch import distributed

        parts = [torch.empty_like(rows) for _ in range(self.size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in any of the tasks: the same answer in all of them."""
        if self.size == 1:
            return flag
        from torch import distributed

        answer = torch.tensor(int(flag))
        distributed.all_reduce(answer, op=distributed.ReduceOp.MAX)
        return bool(answer)

    def check_same(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Raise UserError naming the first tensor whose bits differ between the tasks."""
        if self.size == 1:
            return
        names, tensors = zip(*named, strict=True)
        sums = torch.stack([_bits(tensor).sum(dtype=torch.int64).cpu() for tensor in tensors])
        for_all = self.gather(sums[None])
        for name, column in zip(names, for_all.T, strict=True):
            if len(column.unique()) > 1:
                raise UserError(
                    f"{name}: differs between the {self.size} tasks of this run: something else "
                    "than the step changes it; train this method with one task"
                )


ALONE = World()


def full(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor whole, where it is sharded; a message between all tasks then."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def like(tensor: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor on the device of template, and sharded as that one is, if it is."""
    tensor = tensor.to(template.device)
    if not hasattr(template, "full_tensor") or tensor.shape != template.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = template.device_mesh, template.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().reshape(-1).view(_WORDS[tensor.element_size()])


def _buckets(tensors: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Yield tensors of one type together, up to BUCKET elements or one tensor at a time."""
    ordered = sorted(tensors, key=lambda tensor: str(tensor.dtype))
    for _, group in groupby(ordered, key=lambda tensor: tensor.dtype):
        bucket: list[torch.Tensor] = []
        for tensor in group:
            if bucket and sum(t.numel() for t in bucket) + tensor.numel() > BUCKET:
                yield bucket
                bucket = []
            bucket.append(tensor)
        yield bucket
