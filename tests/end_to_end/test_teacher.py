"""A teacher's table made by teach.py from a tiny sentence model, and runs that learn from it."""

import csv
import zipfile

import numpy as np
import pytest
import torch
from conftest import run_training_command
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tolerances import FLOAT32

from alta_training.data.sentences import split_sentences

WIDTH, WORDS = 12, 40
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LEARN = {"objectives.distillation.weight": 1, "objectives.distillation.width": WIDTH}
TABLES = {
    name: np.random.default_rng(4).standard_normal((size, WIDTH)).astype(np.float32)
    for name, size in (("words", WORDS), ("types", 2))
}
EMBED = (
    helper.make_node("Gather", ["words", "input_ids"], ["own"]),
    helper.make_node("Gather", ["types", "token_type_ids"], ["type"]),
    helper.make_node("Add", ["own", "type"], ["both"]),
    helper.make_node("Unsqueeze", ["attention_mask", "last"], ["mask"]),
    helper.make_node("Cast", ["mask"], ["seen"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["both", "seen"], ["vectors"]),
)
WHOLE = helper.make_node("Identity", ["vectors"], ["last_hidden_state"])


def make_graph(last=WHOLE, inputs=INPUTS, tables=TABLES):
    graph = helper.make_graph(
        [*EMBED, last],
        "sentences",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in inputs],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, None)],
        [
            *(numpy_helper.from_array(table, name) for name, table in tables.items()),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.float32(0), "nothing"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


@pytest.fixture(scope="module")
def sentences(labelled):
    with (labelled / "train.csv").open(encoding="utf-8", newline="") as file:
        return {sentence for row in csv.DictReader(file) for sentence in split_sentences(row["report"])}


@pytest.fixture(scope="module")
def model(tmp_path_factory, sentences):
    """tiny.onnx and tokenizer.json, and both in tiny.whl."""
    folder = tmp_path_factory.mktemp("model")
    words = sorted({word for sentence in sentences for word in sentence.rstrip(".").lower().split()})
    known = ["[UNK]", "[CLS]", "[SEP]", ".", *words][:WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=own)
    tokenizer.enable_padding(length=30)  # as MiniLM's own file says; teach.py pads nothing
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tiny.onnx").write_bytes(make_graph())
    with zipfile.ZipFile(folder / "tiny.whl", "w") as archive:
        for name in ("tiny.onnx", "tokenizer.json"):
            archive.write(folder / name, f"package/{name}")
    return folder


def teach(labelled, output, model, tokenizer, *more):
    data = ("--data", labelled / "train.csv")
    return run_training_command("teach", model, "--tokenizer", tokenizer, *data, "--output", output, *more)


@pytest.fixture(scope="module")
def table(tmp_path_factory, labelled, model):
    output = tmp_path_factory.mktemp("table") / "teacher.npz"
    result = teach(labelled, output, model / "tiny.onnx", model / "tokenizer.json", "--data", labelled / "train.csv")
    assert result.exit_code == 0, result.output
    assert f"vectors of {WIDTH} numbers" in result.output
    return output


def change_table(table, output, **changes):
    with np.load(table) as content:
        np.savez(output, **{**content, **changes})
    return output


def test_every_sentence_is_in_the_table_once_with_its_mean_vector(table, model, sentences):
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    with np.load(table, allow_pickle=False) as content:
        assert content["sentences"].tolist() == sorted(sentences)
        vectors = content["vectors"]
    assert vectors.dtype == np.float32
    for sentence, vector in zip(sorted(sentences), vectors, strict=True):
        ids = tokenizer.encode(sentence).ids
        assert ids[0] == 1 and ids[-1] == 2
        mean = (TABLES["words"][ids] + TABLES["types"][0]).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), **FLOAT32)


def test_a_wheel_gives_the_same_table_and_none_is_replaced_unasked(table, labelled, model, tmp_path, assert_refused):
    output = tmp_path / "wheel.npz"
    assert teach(labelled, output, model / "tiny.whl", model / "tiny.whl").exit_code == 0
    with np.load(table) as one, np.load(output) as other:
        assert all(np.array_equal(one[name], other[name]) for name in ("sentences", "vectors"))
    before = output.read_bytes()
    assert_refused(teach(labelled, output, model / "tiny.whl", model / "tiny.whl"), "file of the teacher exists")
    assert output.read_bytes() == before
    assert teach(labelled, output, model / "tiny.whl", model / "tiny.whl", "--overwrite").exit_code == 0


SUM = helper.make_node("ReduceSum", ["vectors", "last"], ["last_hidden_state"], keepdims=0)
NOTHING = helper.make_node("Mul", ["vectors", "nothing"], ["last_hidden_state"])
NOT_FINITE = {**TABLES, "types": np.full((2, WIDTH), np.inf, np.float32)}
FEW = {**TABLES, "words": TABLES["words"][:5]}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"no graph", "sentence model own.onnx is not accepted by onnxruntime"),
        (make_graph(inputs=(*INPUTS, "more")), "own.onnx does not turn token ids into token vectors"),
        (make_graph(tables=FEW), "own.onnx does not turn token ids into token vectors"),
        (make_graph(SUM), "own.onnx gives no token vectors"),
        (make_graph(NOTHING), "some that are 0 or not finite"),
        (make_graph(tables=NOT_FINITE), "some that are 0 or not finite"),
    ],
)
def test_a_model_that_gives_no_token_vectors_is_refused(graph, message, labelled, model, tmp_path, assert_refused):
    (tmp_path / "own.onnx").write_bytes(graph)
    result = teach(labelled, tmp_path / "teacher.npz", tmp_path / "own.onnx", model / "tokenizer.json")
    assert_refused(result, message, tmp_path / "teacher.npz")


def test_files_that_cannot_be_read_are_refused(labelled, model, tmp_path, assert_refused):
    output, none = tmp_path / "teacher.npz", tmp_path / "none"
    assert_refused(teach(labelled, output, none, model / "tokenizer.json"), "none cannot be read", output)
    assert_refused(teach(labelled, output, model / "tiny.onnx", none), "none cannot be read", output)
    assert_refused(teach(labelled, output, model / "tiny.onnx", model / "tiny.onnx"), "give a tokenizer.json", output)
    (tmp_path / "empty.csv").write_text((labelled / "train.csv").read_text().splitlines()[0] + "\na.png,-1,-1,-1,,,,\n")
    data = ("--data", tmp_path / "empty.csv", "--output", output)
    result = run_training_command("teach", model / "tiny.onnx", "--tokenizer", model / "tokenizer.json", *data)
    assert_refused(result, "no report in these tables", output)


def test_a_run_learns_from_the_teacher_and_resumes(table, labelled, fit_labelled, read_steps, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert fit_labelled(whole, "--teacher", table, **LEARN).exit_code == 0
    assert fit_labelled(stopped, "--teacher", table, "--stop-after", 3, **LEARN).exit_code == 0
    resumed = fit_labelled(stopped, "--teacher", table, "--resume", **LEARN)
    assert resumed.exit_code == 0, resumed.output
    steps = read_steps(whole)
    assert steps == read_steps(stopped)
    assert 0 < steps[-1]["distillation"] < steps[0]["distillation"]
    one, other = load_file(whole / "last.safetensors"), load_file(stopped / "last.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    own = {name for name in one if name.startswith("objective.")}
    assert own == {f"objective.distillation.to_teacher.{name}" for name in ("weight", "bias")}
    assert one.keys() - own == load_file(labelled / "whole.safetensors").keys()


class Payload:
    def __reduce__(self):
        return print, ("unsafe",)


def test_a_teacher_that_does_not_fit_is_refused(table, fit_labelled, tmp_path, assert_refused, capfd):
    with np.load(table) as content:
        sentences, vectors = content["sentences"], content["vectors"]
    poor = vectors.copy()
    poor[-1, 3] = np.nan
    pickled = np.array([Payload()] * len(sentences), dtype=object)
    np.save(tmp_path / "single.npy", vectors)
    (tmp_path / "cut.npz").write_bytes(table.read_bytes()[:-200])
    (tmp_path / "text.npz").write_text("no table")
    (tmp_path / "empty.npz").write_bytes(b"")
    half = bytearray(table.read_bytes())
    half[len(half) // 2] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(half)
    np.savez(tmp_path / "pickled.npz", sentences=pickled, vectors=vectors)
    np.savez(tmp_path / "lacking.npz", sentences=sentences[:-2], vectors=vectors[:-2])
    np.savez(tmp_path / "narrow.npz", sentences=sentences, vectors=vectors[:, :4])
    change_table(table, tmp_path / "nan.npz", vectors=poor)
    change_table(table, tmp_path / "double.npz", vectors=vectors.astype(np.float64))
    change_table(table, tmp_path / "short.npz", vectors=vectors[:-1])
    np.savez(tmp_path / "other.npz", vectors=vectors)
    messages = {
        **dict.fromkeys(("none", "single.npy", "cut.npz", "text.npz", "empty.npz", "pickled.npz"), "cannot be read"),
        **dict.fromkeys(("flipped.npz", "other.npz"), "cannot be read"),
        **dict.fromkeys(("double.npz", "short.npz"), "does not hold one float32 vector for each sentence"),
        "lacking.npz": "lacking.npz lacks 2 sentences of the table: run alta-train teach",
        "narrow.npz": f"vectors of 4 numbers, the recipe says {WIDTH}: set objectives.distillation.width",
        "nan.npz": "holds numbers that are not finite",
    }
    for name, message in messages.items():
        result = fit_labelled(tmp_path / "run", "--teacher", tmp_path / name, **LEARN)
        assert_refused(result, message, tmp_path / "run")
    assert_refused(fit_labelled(tmp_path / "run", **LEARN), "a distillation needs a teacher", tmp_path / "run")
    other = {**LEARN, "objectives.distillation.width": 7}
    result = fit_labelled(tmp_path / "run", "--teacher", table, **other)
    assert_refused(result, f"vectors of {WIDTH} numbers, the recipe says 7", tmp_path / "run")
    assert "unsafe" not in capfd.readouterr().out
