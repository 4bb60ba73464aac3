"""The report objective: the hidden words of a report, told by the other words and the study."""

from torch import Tensor

from ..data.needs import Need
from ..losses import measure_report_modelling
from ..losses.report_modelling import IGNORED
from .contract import IMAGE_TOWER, TEXT_TOWER, Objective, PublishedSettings
from .gather import average_number
from .passes import Passes


class ReportModelling(Objective):
    """Masked report modelling with the fused study as a feature of every token."""

    name = "report"
    needs = frozenset({Need.STUDY, Need.HIDDEN_WORDS})
    trains = IMAGE_TOWER | TEXT_TOWER | {"bert_embed", "text.cls"}
    Settings = PublishedSettings

    def forward(self, passes: Passes) -> Tensor:
        """Predict the hidden words."""
        labels = passes.batch.labels
        hidden_tokens = average_number((labels != IGNORED).sum())
        return measure_report_modelling(passes.hidden_words, labels, hidden_tokens)
