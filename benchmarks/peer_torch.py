"""The peer of the LSTM benchmark: eager PyTorch on the CPU.

    python -m benchmarks.peer_torch --steps=24

Prints one JSON line. The first STACK steps are not timed. The settings are the fastest that eager mode has here: fused
AdamW, oneDNN's LSTM (PyTorch's own choice), gradients set to None. As on our side the state is carried from step to
step, gradients stop there, and the loss is read at the end only.
"""

from __future__ import annotations

import json
import os
import sys
import time

import torch
from torch import nn

from benchmarks.lstm_sides import DECAY, RATE, STACK, Memory, Sizes, arguments, lanes

State = tuple[torch.Tensor, torch.Tensor]


class Model(nn.Module):
    """Embedding, LSTM and a linear head."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.vocabulary, sizes.hidden)
        self.lstm = nn.LSTM(sizes.hidden, sizes.hidden, sizes.layers, batch_first=True)
        self.head = nn.Linear(sizes.hidden, sizes.vocabulary)

    def forward(self, tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        out, state = self.lstm(self.embed(tokens), state)
        return self.head(out), state


def main() -> None:
    sizes, steps = arguments()
    memory = Memory()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    model = Model(sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    tokens, targets = (torch.from_numpy(a).long() for a in lanes(sizes, STACK + steps))
    zeros = torch.zeros(sizes.layers, sizes.batch, sizes.hidden)
    state: State = (zeros, zeros)
    start = 0.0
    for i in range(STACK + steps):
        if i == STACK:
            start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        logits, (h, c) = model(tokens[i], state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[i].flatten())
        del logits  # the backward pass frees what it holds when it is done with it
        loss.backward()
        optimizer.step()
        state = (h.detach(), c.detach())
    seconds = time.perf_counter() - start
    result = {
        "seconds": seconds,
        "loss": loss.item(),
        "peak_mb": memory.peak_mb(),
        "baseline_mb": memory.baseline_mb,
        "tensorflow": "tensorflow" in sys.modules,
        "version": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
