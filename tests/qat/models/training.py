"""Train small networks on scikit-learn's digits (8x8, BSD) and hold some out for the tests.

Pixels are 0 to 16; every network takes them divided by 16, float32 [N, 1, 8, 8].
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
HELD_OUT = 200
torch.set_num_threads(1)  # the same sums, and so the same weights, at every run


def split() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images and labels to train with, then the held-out ones, which go into digits.npz."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = data.images[order].astype(np.uint8)[:, None]
    labels = data.target[order].astype(np.uint8)
    path = HERE / "digits.npz"
    if not path.exists():
        np.savez_compressed(path, images=images[:HELD_OUT], labels=labels[:HELD_OUT])
    scaled = torch.from_numpy(images).float() / 16
    targets = torch.from_numpy(labels).long()
    return scaled[HELD_OUT:], targets[HELD_OUT:], scaled[:HELD_OUT], targets[:HELD_OUT]


def train(model: nn.Module, epochs: int, rate: float = 2e-3) -> nn.Module:
    """Adam with a falling rate, batches of 64; the model's training mode is left to the caller."""
    images, labels, _, _ = split()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    batches = -(-len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * batches)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return model
