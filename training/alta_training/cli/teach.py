"""`alta-train teach`: vectors that a larger text model gives the sentences of a training table."""

from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target

from ..data.records import read_table
from ..data.sentences import split_sentences
from ..data.teacher import is_teacher, write_teacher
from .packages import need_packages


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("model", type=PATH)
@click.option("--tokenizer", required=True, type=PATH, help="Its tokenizer.json, or a wheel or zip with one.")
@click.option("--data", required=True, multiple=True, type=PATH, help="Training table; may be given more than once.")
@click.option("--output", required=True, type=PATH, help="The table to write (.npz), for fit --teacher.")
@overwrite_option("a table that is")
@fail_in_one_line
def teach(model: Path, tokenizer: Path, data: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Embed every sentence of the tables with MODEL, a sentence model as ONNX (or a wheel or zip with one).

    Its graph takes input_ids, attention_mask and token_type_ids; token vectors are averaged over the words.
    """
    read = (model, tokenizer, *data)
    check_target(output, "teacher", overwrite=overwrite, is_ours=is_teacher, inputs=read, error=TrainingError)
    reports = {record.report for table in data for record in read_table(table)} - {""}  # fit has its own word on ""
    if not reports:
        raise TrainingError("no report in these tables: give training tables")
    sentences = sorted({sentence for report in reports for sentence in split_sentences(report)})
    need_packages()
    from ..data.sentence_model import embed_sentences

    vectors = embed_sentences(model, tokenizer, sentences)
    write_teacher(output, sentences, vectors, overwrite=overwrite)
    say(f"{len(sentences)} sentences, vectors of {vectors.shape[1]} numbers: {output}")
