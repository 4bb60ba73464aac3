"""Write tensorrt_api.json: what NVIDIA's Python bindings of TensorRT accept, taken from the bindings themselves.

The bindings install anywhere (tensorrt-cu13-bindings, tensorrt-lean-cu13-bindings), the libraries that they
are linked to do not. So the bindings are imported against empty libraries of the same names, made with the
C compiler, and asked for the signatures that pybind11 keeps. Nothing of TensorRT runs.

    python tests/golden/make_tensorrt_api.py [OUTPUT]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

GOLDEN = Path(__file__).with_name("tensorrt_api.json")
LIBRARIES = {
    "tensorrt": ("tensorrt_bindings", ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")),
    "tensorrt_lean": ("tensorrt_lean_bindings", ("libnvinfer_lean.so.11",)),
}
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
CLASSES = (
    "Builder",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "ParserError",
    "Runtime",
)
ENUMS = (
    "BuilderFlag",
    "DataType",
    "LayerInformationFormat",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "ProfilingVerbosity",
    "TensorIOMode",
)


def read_api(names=tuple(LIBRARIES)):
    """Return the API of each binding by module name, each read in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS))
        for _, libraries in LIBRARIES.values():
            for library in libraries:
                subprocess.run(["cc", "-shared", "-fPIC", "-o", Path(folder, library), source], check=True)
        environment = {**os.environ, "LD_LIBRARY_PATH": folder}
        command = [sys.executable, __file__, "--describe"]
        return {
            name: json.loads(subprocess.run([*command, name], check=True, capture_output=True, env=environment).stdout)
            for name in names
        }


def describe(name):
    """Describe one binding: signatures by class and method, properties with whether they can be set, enums."""
    bindings = LIBRARIES[name][0]
    sys.setdlopenflags(os.RTLD_LAZY)
    module = import_module(bindings)
    classes = {found: describe_class(getattr(module, found)) for found in CLASSES if hasattr(module, found)}
    enums = {found: sorted(getattr(module, found).__members__) for found in ENUMS if hasattr(module, found)}
    enums["Severity"] = sorted(module.ILogger.Severity.__members__)
    return {"version": module.__version__, "classes": classes, "enums": enums, "functions": ["nptype"]}


def describe_class(kind):
    methods, properties = {}, {}
    for name in dir(kind):
        value = getattr(kind, name)
        if isinstance(value, property):
            properties[name] = value.fset is not None
        elif name == "__init__" or (not name.startswith("_") and type(value).__name__ == "instancemethod"):
            methods[name] = read_signatures(name, value.__doc__ or "")
    return {"methods": {name: found for name, found in methods.items() if found}, "properties": properties}


def read_signatures(name, text):
    """Return the signatures of a method, without the module's name in front of its types."""
    lines = [re.sub(r"tensorrt(_lean)?_bindings\.tensorrt(_lean)?\.", "", line) for line in text.splitlines()]
    lines = [line.split(". ", 1)[-1] for line in lines]  # overloads are numbered
    return [line for line in lines if line.startswith(f"{name}(self")]


def main():
    if "--describe" in sys.argv:
        print(json.dumps(describe(sys.argv[-1])))
        return
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    output.write_text(json.dumps(read_api(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
