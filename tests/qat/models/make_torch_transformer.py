"""A transformer block on the image's eight rows: LayerNorm, attention, GELU."""

import torch
from qat.models.exporting import export
from qat.models.recipes import FULL, SIGNED, eager
from qat.models.saving import save
from qat.models.training import train
from torch import ao, nn
from torch.ao import quantization as aq

WIDTH = 24


class Transformer(nn.Module):
    """One block with two heads; every MatMul gets fake-quantized inputs and output."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.after_gelu = aq.QuantStub(), aq.DeQuantStub(), aq.QuantStub()
        self.embed, self.place = nn.Linear(8, WIDTH), nn.Parameter(torch.randn(8, WIDTH) / 8)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.softmax = nn.Softmax(-1)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 10)
        self.scores, self.mixed, self.placed, self.attended, self.added = (
            ao.nn.quantized.FloatFunctional() for _ in range(5)
        )

    @staticmethod
    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 8, 2, WIDTH // 2).transpose(1, 2)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        query, key = self.heads(self.query(x)), self.heads(self.key(x))
        scores = self.scores.matmul(query, key.transpose(2, 3)) / (WIDTH // 2) ** 0.5
        mixed = self.mixed.matmul(self.softmax(scores), self.heads(self.value(x)))
        return self.out(mixed.transpose(1, 2).reshape(-1, 8, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.placed.add(self.embed(self.quant(x).squeeze(1)), self.place)
        rows = self.attended.add(rows, self.attention(self.first(rows)))
        wide = self.after_gelu(nn.functional.gelu(self.up(self.second(rows))))
        rows = self.added.add(rows, self.down(wide))
        return self.dequant(self.head(rows.mean(1)))


def main() -> None:
    torch.manual_seed(0)
    trained = train(Transformer().train(), 25, 4e-3)
    save(
        "torch_transformer",
        export(eager(trained, FULL, []), 17),
        "LayerNormalization, MatMul of two activations, Softmax, Erf GELU; uint8 activations",
    )
    save(
        "torch_transformer_signed",
        export(eager(trained, SIGNED, []), 13),
        "the same at opset 13 (LayerNorm decomposed), symmetric int8 activations",
    )


if __name__ == "__main__":
    main()
