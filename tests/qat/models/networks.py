"""The residual CNN that several recipes train, with eager-mode stubs and without."""

import torch
from torch import ao, nn
from torch.ao import quantization as aq


class Block(nn.Sequential):
    """Conv, BatchNorm, Relu: the three that `fuse_modules` joins."""

    def __init__(self, inputs: int, outputs: int, size: int, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class Eager(nn.Module):
    """Stem, residual Add, MaxPool, two branches and Concat, Linear head; with eager-mode stubs."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = aq.QuantStub(), aq.DeQuantStub()
        self.stem, self.body = Block(1, 8, 3), Block(8, 8, 3)
        self.left, self.right = Block(8, 8, 1), Block(8, 8, 3)
        self.add, self.join = ao.nn.quantized.FloatFunctional(), ao.nn.quantized.FloatFunctional()
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(self.quant(x))
        pooled = self.pool(self.add.add(stem, self.body(stem)))
        joined = self.join.cat([self.left(pooled), self.right(pooled)], 1)
        return self.dequant(self.head(torch.flatten(joined, 1)))


class Plain(nn.Module):
    """The same network for the modes that find the operators by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = Block(1, 8, 3), Block(8, 8, 3)
        self.left, self.right = Block(8, 8, 1), Block(8, 8, 3)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        pooled = self.pool(stem + self.body(stem))
        joined = torch.cat([self.left(pooled), self.right(pooled)], 1)
        return self.head(torch.flatten(joined, 1))


BLOCKS = [[f"{block}.{i}" for i in range(3)] for block in ("stem", "body", "left", "right")]
"""The names to fuse, of both classes."""
