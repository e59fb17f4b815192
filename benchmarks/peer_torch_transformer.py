"""The peer of the transformer benchmark: eager PyTorch on the CPU.

    python -m benchmarks.peer_torch_transformer --steps=24

Prints one JSON line. The first STACK steps are not timed. The model is that of `w2v_jax.nn.blocks`, number for number:
pre-norm blocks with RMSNorm, rotary positions, no biases, gelu in its tanh form, and the embedding as the head. The
settings are the fastest that eager mode has here: `scaled_dot_product_attention`, one matrix for query, key and value,
fused AdamW, gradients set to None.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.sides import DECAY, RATE, SCALE, TransformerSizes, arguments
from benchmarks.torch_steps import start, timed

EPS = 1e-6  # of the norms
BASE = 10_000.0  # of rotary positions


class Block(nn.Module):
    """x + attention, then + the feed-forward layer."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.heads = sizes.heads
        self.norm_attention = nn.RMSNorm(dim, eps=EPS)
        self.norm_wide = nn.RMSNorm(dim, eps=EPS)
        self.inputs = nn.Linear(dim, 3 * dim, bias=False)  # query, key, value
        self.output = nn.Linear(dim, dim, bias=False)
        self.up = nn.Linear(dim, 4 * dim, bias=False)
        self.down = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, dim = x.shape
        parts = self.inputs(self.norm_attention(x)).view(batch, length, 3, self.heads, -1)
        query, key = rotate(parts[:, :, :2], cos, sin).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, parts[:, :, 2].transpose(1, 2), is_causal=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, length, dim))
        return x + self.down(F.gelu(self.up(self.norm_wide(x)), approximate="tanh"))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Pairs (i, i + H/2) of [B, T, 2, N, H] turned by the angles of cos and sin, [T, 1, 1, H/2]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Model(nn.Module):
    """Embedding, blocks, a last norm and the tied head."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.embed = nn.Embedding(sizes.vocabulary, sizes.dim)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.norm = nn.RMSNorm(sizes.dim, eps=EPS)
        half = sizes.dim // sizes.heads // 2
        speed = torch.exp(torch.arange(half) * (-math.log(BASE) / half))
        angle = (torch.arange(sizes.length)[:, None] * speed)[:, None, None]
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                inner = name.endswith(("output.weight", "down.weight"))
                nn.init.normal_(parameter, std=SCALE / math.sqrt(2 * sizes.layers) if inner else SCALE)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embed.weight)


def optimizer_of(model: nn.Module) -> torch.optim.AdamW:
    """AdamW; gains do not decay, as on our side."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY, fused=True)


def loss_of(model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean nats."""
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


def main() -> None:
    sizes, steps = arguments(TransformerSizes)
    memory = start()
    model = Model(sizes)

    def loss(tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return loss_of(model, tokens, targets)

    print(json.dumps(timed(memory, model, optimizer_of(model), loss, sizes, steps)))


if __name__ == "__main__":
    main()
