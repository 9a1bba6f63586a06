"""An LSTM over the image's rows whose two weights are fake-quantized."""

import torch
from qat.models.exporting import export
from qat.models.recipes import FULL
from qat.models.saving import save
from qat.models.training import train
from torch import nn
from torch.ao import quantization as aq
from torch.nn.utils import parametrize


class Recurrent(nn.Module):
    """The last state of an LSTM, then a Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.after = aq.QuantStub(), aq.DeQuantStub(), aq.QuantStub()
        self.lstm, self.head = nn.LSTM(8, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.quant(x).squeeze(1))
        return self.dequant(self.head(self.after(states[:, -1])))


def main() -> None:
    torch.manual_seed(0)
    model = train(Recurrent().train(), 15, 1e-2)
    model.qconfig = FULL
    model.lstm.qconfig = None
    prepared = aq.prepare_qat(model.train())
    for name in ("weight_ih_l0", "weight_hh_l0"):
        fake = aq.default_per_channel_weight_fake_quant()
        parametrize.register_parametrization(prepared.lstm, name, fake)
    save(
        "torch_lstm",
        export(train(prepared, 4, 1e-3), 17),
        "LSTM: weight, Q, DQ, then Slice and Concat to ONNX's order of gates, Unsqueeze",
    )


if __name__ == "__main__":
    main()
