"""What numbers are found from, where changes need other ones than options and statistics give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from zeropoint.engine.improve import Feeds, Run
from zeropoint.engine.observe import Observer
from zeropoint.sketch import Sketch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Samples, and what runs the float model on them.

    Attributes:
        samples: Returns the samples that candidates are chosen on, in an order that depends on
            nothing but their content.
        run: Runs models.
        folder: Where models may be written; it holds the external data of the prepared model.
        observe_bytes: Budget for the activations held at once.
        threads: Threads for observing.
        told: Told what is being done.
    """

    samples: Callable[[], Sequence[Feeds]]
    run: Run
    folder: Path
    observe_bytes: int
    threads: int = 1
    told: Callable[[str], None] = lambda _message: None

    def observe(self, model: ir.Model, tensors: Sequence[str]) -> dict[str, Sketch]:
        """Return sketches of tensors of a float model on the samples.

        Raises:
            BatchError: the model does not run on one.
        """
        observer = Observer(
            model.clone(),
            tensors,
            workspace=self.folder,
            threads=self.threads,
            observe_bytes=self.observe_bytes,
        )
        try:
            for number, sample in enumerate(self.samples()):
                observer.observe(sample, number)
            return dict(observer.sketches())
        finally:
            observer.close()
