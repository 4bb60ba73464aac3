"""Which text-model folder a run takes: one that is given, or one made of the table's own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..data.records import read_table
from ..data.vocabulary import learn_vocabulary, write_bert_folder
from ..objectives.record_modelling import TowerSizes, make_text_config


@contextmanager
def open_text_folder(
    given: Path | None, resumed: Path | None, data: Path, root: Path | None, sizes: TowerSizes
) -> Iterator[Path]:
    """Give the folder; one that is made is gone behind the with, and a run has its copy by then.

    given: taken as it is. resumed: the folder of a run that goes on, whose text model is the one to take.
    Otherwise a vocabulary is learned from the reports of the table `data`, for a tower of these sizes.
    Raises TrainingError if the vocabulary is too small, or the table cannot be read.
    """
    if given is None and resumed is not None:
        given = resumed / "text-model"
    if given is not None:
        yield given
        return
    with TemporaryDirectory() as parent:
        folder = Path(parent) / "text-model"
        reports = [record.report for record in read_table(data, root)]
        write_bert_folder(folder, make_text_config(sizes), learn_vocabulary(reports, sizes.vocabulary))
        yield folder
