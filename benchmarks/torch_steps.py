"""What PyTorch's sides have in common: the timed loop of eager training steps."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.sides import STACK, Memory, Sizes, lanes

# (tokens, targets), int64 [batch, length] -> the loss to be differentiated
LossOf = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def start() -> Memory:
    """Every core of this process and a fixed seed; call it after the imports and before a model is made."""
    memory = Memory()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.manual_seed(0)
    return memory


def timed(
    memory: Memory, model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: LossOf, sizes: Sizes, steps: int
) -> dict[str, Any]:
    """A side's result. The first STACK steps are not timed; the loss is that of the last step, read at the end only."""
    tokens, targets = (torch.from_numpy(a).long() for a in lanes(sizes, STACK + steps))
    begin = 0.0
    for i in range(STACK + steps):
        if i == STACK:
            begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens[i], targets[i])
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "loss": loss.item(),
        "parameters": sum(p.numel() for p in model.parameters()),
        **memory.found(),
        "tensorflow": "tensorflow" in sys.modules,
        "version": torch.__version__,
    }
