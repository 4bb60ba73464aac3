"""What a user would run instead of an engine: the trained tower, adapters in, by each usual way to make it fast.

Each peer is made as its own documentation says, with its defaults but for the number of threads, from the same weights
and for the same input. One that is not installed or does not run here is named with the reason, and left out.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Pixels = torch.Tensor
EAGER = "PyTorch, eager"


@dataclass(frozen=True)
class Peer:
    """precision: what most of its products are computed in. run: returns the vector (1, width). load_s: to make it."""

    precision: str
    name: str
    run: Callable[[], Vector]
    load_s: float


@dataclass(frozen=True)
class Task:
    """tower: takes pixels (1, 3, px, px) and slot (1,). shown: radiographs to calibrate on."""

    tower: torch.nn.Module
    pixels: Pixels
    slot: torch.Tensor
    shown: Sequence[Pixels]
    threads: int
    heads: int
    width: int


class ClsTower(torch.nn.Module):
    """An image tower that returns its first token alone."""

    def __init__(self, tower: torch.nn.Module) -> None:
        """tower: returns tokens (n, tokens, width)."""
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Pixels, slot: torch.Tensor) -> torch.Tensor:
        """Return (n, width)."""
        tokens: torch.Tensor = self.tower(pixels, slot)
        return tokens[:, 0]


def run_torch(module: torch.nn.Module, task: Task, dtype: torch.dtype = torch.float32) -> Callable[[], Vector]:
    """Return what runs a module once."""
    pixels = task.pixels.to(dtype)

    def run() -> Vector:
        with torch.no_grad():
            vector: Vector = module(pixels, task.slot).float().numpy()
            return vector

    run()  # what is compiled is compiled by its first run
    return run


def make_eager(task: Task) -> Callable[[], Vector]:
    """PyTorch as it is."""
    return run_torch(task.tower, task)


def make_eager_bf16(task: Task) -> Callable[[], Vector]:
    """PyTorch with weights and activations in BF16."""
    return run_torch(copy.deepcopy(task.tower).bfloat16(), task, torch.bfloat16)


def compile_frozen(module: torch.nn.Module, task: Task, dtype: torch.dtype) -> Callable[[], Vector]:
    """Compile with weights as constants, as PyTorch advises for inference on a CPU."""
    import torch._inductor.config as settings

    with settings.patch(freezing=True):
        return run_torch(torch.compile(module), task, dtype)


def make_compiled(task: Task) -> Callable[[], Vector]:
    """torch.compile in FP32."""
    return compile_frozen(copy.deepcopy(task.tower), task, torch.float32)


def make_compiled_bf16(task: Task) -> Callable[[], Vector]:
    """torch.compile in BF16."""
    return compile_frozen(copy.deepcopy(task.tower).bfloat16(), task, torch.bfloat16)


def make_torchao(task: Task) -> Callable[[], Vector]:
    """torchao: weights in INT8, activations rounded as they come, then compiled."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    tower = copy.deepcopy(task.tower)
    quantize_(tower, Int8DynamicActivationInt8WeightConfig())
    return compile_frozen(tower, task, torch.float32)


def compile_openvino(model: object, task: Task, **settings: object) -> Callable[[], Vector]:
    """Compile a model of OpenVINO's own conversion, and return what runs it once."""
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": task.threads, **settings})
    request = compiled.create_infer_request()
    inputs = [task.pixels.numpy(), task.slot.numpy()]
    return lambda: np.array(request.infer(inputs)[0], dtype=np.float32)


def convert_openvino(task: Task) -> object:
    """Return the tower as OpenVINO converts it from PyTorch."""
    import openvino

    with torch.no_grad():
        return openvino.convert_model(task.tower, example_input=(task.pixels, task.slot))


def make_openvino(task: Task) -> Callable[[], Vector]:
    """OpenVINO in FP32."""
    return compile_openvino(convert_openvino(task), task, INFERENCE_PRECISION_HINT="f32")


def make_openvino_default(task: Task) -> Callable[[], Vector]:
    """OpenVINO as it comes: BF16, where the CPU has it."""
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError("its default is FP32 on this CPU, which has no BF16")
    return compile_openvino(convert_openvino(task), task)


def make_nncf(task: Task) -> Callable[[], Vector]:
    """NNCF's quantization after training, calibrated on the radiographs, then OpenVINO as it comes."""
    import nncf

    data = nncf.Dataset([[one.numpy(), task.slot.numpy()] for one in task.shown])
    model = nncf.quantize(
        convert_openvino(task), data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(task.shown)
    )
    return compile_openvino(model, task)


def export_tower(task: Task, file: Path) -> None:
    """Write the tower as PyTorch's own exporter does."""
    inputs = (task.pixels, task.slot)
    torch.onnx.export(task.tower, inputs, str(file), input_names=["pixels", "slot"], dynamo=True, verbose=False)


def run_onnxruntime(file: Path, task: Task) -> Callable[[], Vector]:
    """Load a file in onnxruntime as it comes, and return what runs it once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = {"pixels": task.pixels.numpy(), "slot": task.slot.numpy()}
    known = {one.name for one in session.get_inputs()}
    fed = {name: array for name, array in inputs.items() if name in known}
    return lambda: np.array(session.run(None, fed)[0], dtype=np.float32)


def make_onnxruntime(task: Task) -> Callable[[], Vector]:
    """onnxruntime's own optimizer of transformers, in FP32."""
    from onnxruntime.transformers.optimizer import optimize_model

    with tempfile.TemporaryDirectory() as folder:
        file, better = Path(folder) / "tower.onnx", Path(folder) / "optimized.onnx"
        export_tower(task, file)
        # heads and width are not found in a graph of today's exporter: given, so that attention is fused
        sizes = {"num_heads": task.heads, "hidden_size": task.width}
        optimize_model(str(file), model_type="vit", **sizes).save_model_to_file(str(better))
        return run_onnxruntime(better, task)


def make_onnxruntime_dynamic(task: Task) -> Callable[[], Vector]:
    """onnxruntime's quantize_dynamic as it comes."""
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        file, smaller = Path(folder) / "tower.onnx", Path(folder) / "dynamic.onnx"
        export_tower(task, file)
        quantize_dynamic(file, smaller)
        return run_onnxruntime(smaller, task)


PEERS: dict[tuple[str, str], Callable[[Task], Callable[[], Vector]]] = {
    ("fp32", EAGER): make_eager,
    ("fp32", "torch.compile, frozen"): make_compiled,
    ("fp32", "OpenVINO's conversion, FP32"): make_openvino,
    ("fp32", "onnxruntime's transformers optimizer"): make_onnxruntime,
    ("bf16", "PyTorch, eager BF16"): make_eager_bf16,
    ("bf16", "torch.compile, frozen, BF16"): make_compiled_bf16,
    ("bf16", "OpenVINO's conversion, its default"): make_openvino_default,
    ("int8", "torchao INT8 dynamic, compiled"): make_torchao,
    ("int8", "OpenVINO's conversion and NNCF"): make_nncf,
    ("int8", "onnxruntime's dynamic INT8, defaults"): make_onnxruntime_dynamic,
}


def open_peers(task: Task) -> tuple[list[Peer], dict[str, str]]:
    """Return every peer that runs here, and of the others why not, by name."""
    found, missing = [], {}
    for (precision, name), make in PEERS.items():
        start = time.perf_counter()
        try:
            run = make(task)
        except ImportError as error:
            missing[name] = f"{error.name} is not installed: pip install 'alta-sdk[bench]'"
        except Exception as error:  # of six libraries: whatever it is, the table goes on without this row
            missing[name] = f"does not run here: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
        else:
            found.append(Peer(precision, name, run, time.perf_counter() - start))
    return found, missing
