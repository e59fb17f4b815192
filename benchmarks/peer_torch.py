"""The peer of the LSTM benchmark: eager PyTorch on the CPU.

    python -m benchmarks.peer_torch --steps=24

Prints one JSON line. The first STACK steps are not timed. The settings are the fastest that eager mode has here: fused
AdamW, oneDNN's LSTM (PyTorch's own choice), gradients set to None. As on our side the state is carried from step to
step, gradients stop there, and the loss is read at the end only.
"""

from __future__ import annotations

import json

import torch
from torch import nn

from benchmarks.sides import DECAY, RATE, LSTMSizes, arguments
from benchmarks.torch_steps import start, timed

State = tuple[torch.Tensor, torch.Tensor]


class Model(nn.Module):
    """Embedding, LSTM and a linear head."""

    def __init__(self, sizes: LSTMSizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.vocabulary, sizes.hidden)
        self.lstm = nn.LSTM(sizes.hidden, sizes.hidden, sizes.layers, batch_first=True)
        self.head = nn.Linear(sizes.hidden, sizes.vocabulary)

    def forward(self, tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        out, state = self.lstm(self.embed(tokens), state)
        return self.head(out), state


def main() -> None:
    sizes, steps = arguments(LSTMSizes)
    memory = start()
    model = Model(sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    zeros = torch.zeros(sizes.layers, sizes.batch, sizes.hidden)
    state: State = (zeros, zeros)

    def loss_of(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal state
        logits, (h, c) = model(tokens, state)
        state = (h.detach(), c.detach())
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    print(json.dumps(timed(memory, model, optimizer, loss_of, sizes, steps)))


if __name__ == "__main__":
    main()
