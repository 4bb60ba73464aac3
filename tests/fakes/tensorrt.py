"""TensorRT for machines without a GPU, held to the real bindings' API by tensorrt_api.py.

A plan of this fake holds the ONNX graph; running it runs onnxruntime on what lies in the fake driver's memory.
"""

import enum
import json
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from alta_runtimes import tensorrt_build
from alta_sdk import EngineError

from .tensorrt_api import API, hold_to_api
from .tensorrt_builder import BUILDER_CLASSES

MAGIC = b"fake plan\n"
KINDS = {
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}
INSPECTED = {"FLOAT": "Float", "HALF": "Half", "BF16": "BFloat16", "INT8": "Int8"}
NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "INT32": np.int32, "UINT8": np.uint8}


def make_tensorrt(cuda, name="tensorrt"):
    """Return a module as `import tensorrt` or `import tensorrt_lean` would give, running on a fake driver."""
    api, module = API[name], ModuleType(name)
    module.__version__ = api["version"]
    for kind, members in api["enums"].items():
        setattr(module, kind, enum.IntEnum(kind, members, start=0))
    for kind in CLASSES:
        if kind.__name__ in api["classes"]:
            setattr(module, kind.__name__, hold_to_api(kind, api, module, cuda=cuda))
    module.ILogger.Severity = module.Severity
    module.nptype = lambda kind: NUMPY[kind.name]
    return module


class ILogger:
    def __init__(self):
        self._is_made = True

    def log(self, severity, msg):
        raise NotImplementedError


class IHostMemory:
    def __init__(self, data):
        self._data = data

    @property
    def nbytes(self):
        return len(self._data)

    def __buffer__(self, flags):  # Python 3.12; before, bytes() takes __bytes__
        return memoryview(self._data)

    def __bytes__(self):
        return self._data


class Runtime:
    def __init__(self, logger):
        assert logger._is_made  # its base class was initialised
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        data = bytes(serialized_engine)
        if not data.startswith(MAGIC):
            self._logger.log(self.trt.Severity.ERROR, "Serialization assertion failed\nmore")
            return None
        head, graph = data[len(MAGIC) :].split(b"\n", 1)
        facts = json.loads(head)
        if self.trt.__name__ == "tensorrt_lean" and "VERSION_COMPATIBLE" not in facts["flags"]:
            self._logger.log(self.trt.Severity.ERROR, "Unexpected call to stub")
            return None
        return self.trt.ICudaEngine(facts, graph)


class ICudaEngine:
    def __init__(self, facts, graph):
        self._facts, self._graph = facts, graph
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        model = onnx.load_from_string(graph).graph
        self._inputs = {value.name: value.type.tensor_type.elem_type for value in model.input}
        self._outputs = {value.name: value.type.tensor_type.elem_type for value in model.output}

    @property
    def num_io_tensors(self):
        return len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index):
        return [*self._inputs, *self._outputs][index]

    def get_tensor_mode(self, name):
        return self.trt.TensorIOMode.INPUT if name in self._inputs else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self.trt.DataType[KINDS[(self._inputs | self._outputs)[name]]]

    def get_tensor_profile_shape(self, name, profile_index):
        return [tuple(shape) for shape in self._facts["profiles"][profile_index][name]]

    def create_execution_context(self):
        return self.trt.IExecutionContext(self)

    def create_engine_inspector(self):
        return self.trt.EngineInspector(self)

    def serialize(self):
        return self.trt.IHostMemory(MAGIC + json.dumps(self._facts).encode() + b"\n" + self._graph)


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._shapes, self._addresses = engine, {}, {}

    nvtx_verbosity = None

    def set_input_shape(self, name, shape):
        low, _, high = self._engine.get_tensor_profile_shape(name, 0)
        if len(shape) != len(low) or any(not a <= s <= b for a, s, b in zip(low, shape, high, strict=True)):
            return False
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def infer_shapes(self):
        missing = [name for name in self._engine._inputs if name not in self._shapes]
        if not missing:
            zeros = {name: np.zeros(self._shapes[name], self._numpy(name)) for name in self._engine._inputs}
            found = self._engine._session.run(None, zeros)
            self._shapes |= {n: a.shape for n, a in zip(self._engine._outputs, found, strict=True)}
        return missing

    def get_tensor_shape(self, name):
        return self._shapes[name]

    def execute_async_v3(self, stream_handle):
        assert stream_handle > 1 << 32
        arrays = {}
        for name in self._engine._inputs:
            shape, dtype = self._shapes[name], np.dtype(self._numpy(name))
            data = self.cuda.read(self._addresses[name], int(np.prod(shape)) * dtype.itemsize)
            arrays[name] = np.frombuffer(data, dtype).reshape(shape)
        for name, array in zip(self._engine._outputs, self._engine._session.run(None, arrays), strict=True):
            self.cuda.write(self._addresses[name], array.tobytes())
        return True

    def _numpy(self, name):
        return NUMPY[self._engine.get_tensor_dtype(name).name]


class EngineInspector:
    def __init__(self, engine):
        self._engine = engine

    def get_engine_information(self, format):
        if self._engine._facts["verbosity"] != "DETAILED":
            return json.dumps({"Layers": ["only names"]})
        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(self._engine._graph)).graph
        kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
        kinds |= {item.name: item.data_type for item in graph.initializer}

        def show(names):
            named = [(name, INSPECTED.get(KINDS.get(kinds.get(name)), "Int64")) for name in names if name in kinds]
            return [{"Name": name, "DataType": kind, "Format": "Linear"} for name, kind in named]

        layers = [
            {"Name": n.name, "LayerType": n.op_type, "Inputs": show(n.input), "Outputs": show(n.output)}
            for n in graph.node
        ]
        return json.dumps({"Layers": layers, "I/O Tensors": []})


CLASSES = (
    ILogger,
    IHostMemory,
    Runtime,
    ICudaEngine,
    IExecutionContext,
    EngineInspector,
    *BUILDER_CLASSES,
)


def make_small_graph(columns=4):
    """Return a graph of two inputs and one output with a free batch: y = x · w + k."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [columns, 3], np.arange(columns * 3, dtype=np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], "layer"),
            helper.make_node("Cast", ["k"], ["k_float"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Add", ["product", "k_float"], ["y"], "add"),
        ],
        "small",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", columns]),
            helper.make_tensor_value_info("k", TensorProto.INT64, ["n", 1]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def fail_at(file):
    """Return a `build_plan` that has no memory left for the graph of one file."""
    refused = file.read_bytes()

    def build(graph, *given):
        if graph == refused:
            raise EngineError("TensorRT cannot build this engine: out of memory")
        return tensorrt_build.build_plan(graph, *given)

    return build
