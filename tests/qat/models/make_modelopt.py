"""NVIDIA's Model Optimizer: pairs on weights and inputs only, symmetric."""

import warnings

import modelopt.torch.quantization as mtq
import onnx
import torch
from modelopt.torch._deploy.utils import torch_onnx
from qat.models.networks import BLOCKS, Plain
from qat.models.saving import save
from qat.models.training import split, train
from torch import nn
from torch.ao import quantization as aq


class Upward(Plain):
    """The residual CNN with a ConvTranspose in front of its head."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.ConvTranspose2d(16, 4, 2, stride=2), nn.Linear(4 * 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x)
        pooled = self.pool(stem + self.body(stem))
        joined = torch.cat([self.left(pooled), self.right(pooled)], 1)
        return self.head(torch.flatten(self.up(joined), 1))


def export(model: nn.Module) -> onnx.ModelProto:
    """Model Optimizer's own way: the TorchScript exporter, then its graph clean-up.

    What it writes for float16 breaks the type rules of QuantizeLinear, so there is no such file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed, _ = torch_onnx.get_onnx_bytes_and_metadata(
            model.eval(),
            (torch.zeros(1, 1, 8, 8),),
            "model",
            dynamic_axes={"x": {0: "N"}},
            onnx_opset=19,
        )
    return onnx.load_from_string(
        torch_onnx.OnnxBytes.from_bytes(packed).get_onnx_model_file_bytes()
    )


def main() -> None:
    torch.manual_seed(0)
    trained = train(Upward().train(), 8).eval()
    aq.fuse_modules(trained, BLOCKS, inplace=True)
    images = split()[0]
    model = mtq.quantize(trained, mtq.INT8_DEFAULT_CFG, lambda m: m(images))
    train(model.train(), 3, 5e-4)
    save(
        "modelopt",
        export(model),
        "symmetric pairs on inputs and float weights only, none on outputs; one tensor has two "
        "equal pairs; ConvTranspose per input channel (axis 0)",
    )


if __name__ == "__main__":
    main()
