"""Write README.md from fixtures.json."""

import json
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """# Fake-quantized fixtures

Small networks on scikit-learn's digits (8x8, BSD) with Q/DQ pairs as training left them, in the
words of the exporter that is named. `x` is float32 [N, 1, 8, 8], pixels divided by 16 (float16
where the table says so); the first output is scores [N, 10]. `digits.npz` has 200 held-out images
(uint8) with labels; "right" is how many of them get the right label in ONNX Runtime 1.32.0 without
and with its optimizations.

`torch_*`, `brevitas_*` and `modelopt` are real exports of networks trained with fake-quant.
`pattern_*` are made with `onnx.helper` around a trained float network, with scales from its
ranges: for producers that cannot be installed beside the others, and for forms that no exporter
here writes (a note under `metadata_props["pattern"]` says which). From every file doc strings,
metadata and stack traces are removed; nothing else.

Make them with the packages of `requirements.txt`, in `tests/`: `python -m qat.models.make_NAME`,
then `python -m qat.models.make_readme`. On another kind of processor the weights differ a little.

| name | producer | opset | right | optimized | what is special |
|---|---|---|---|---|---|
"""


def main() -> None:
    rows = json.loads((HERE / "fixtures.json").read_text())
    lines = [
        f"| {name} | {row['producer']} | {row['opset']} | {row.get('right', '–')} "
        f"| {row.get('right_optimized', '–')} | {row['special']} |\n"
        for name, row in rows.items()
    ]
    (HERE / "README.md").write_text(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
