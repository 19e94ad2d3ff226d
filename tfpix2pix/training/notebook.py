"""What a notebook shows of a run while it trains."""

from __future__ import annotations

from tfpix2pix.training.callbacks import Callback
from tfpix2pix.training.validation import Evaluation


class ShowSheets(Callback):
    """Shows the sheet of samples (input, output, target) after each evaluation, in a Jupyter or Colab notebook."""

    def on_evaluation_end(self, step: int, evaluation: Evaluation) -> None:
        """Shows it."""
        from IPython.display import Image, display  # comes with every notebook, not with this package

        display(Image(str(self.trainer.run.sample(step))))
