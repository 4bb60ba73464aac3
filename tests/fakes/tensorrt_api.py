"""Hold fake classes to the API of NVIDIA's bindings, as golden/tensorrt_api.json keeps it.

A class or method that the bindings lack cannot be made, a call with arguments that they refuse fails, and so does
setting an attribute that cannot be set.
"""

import ast
import functools
import inspect
import json
import re
from pathlib import Path

import numpy as np

API = json.loads((Path(__file__).parents[1] / "golden" / "tensorrt_api.json").read_text(encoding="utf-8"))


def hold_to_api(kind, api, module, **shared):
    """Return a class that behaves as `kind` and takes only what the bindings' class of that name takes."""
    described = api["classes"][kind.__name__]
    checked = {"trt": module, **shared}
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and name in described["methods"]:
            checked[name] = check_calls(module, value, described["methods"][name])
        elif not name.startswith("_"):
            assert name in described["properties"], f"{kind.__name__}.{name} is not in the bindings"

    def set_attribute(self, name, value):
        is_ours = name.startswith("_") or type(self) is not made  # a subclass in the code under test has its own
        if not is_ours and not described["properties"].get(name):
            raise AttributeError(f"{kind.__name__}.{name} cannot be set")
        object.__setattr__(self, name, value)

    made = type(kind.__name__, (kind,), {**checked, "__setattr__": set_attribute})
    return made


def check_calls(module, function, texts):
    """Return a method that takes only the arguments that one of the bindings' signatures takes."""
    signatures = [parse_signature(text) for text in texts]

    @functools.wraps(function)
    def call(self, *given, **named):
        if not any(fits(module, parameters, given, named) for parameters in signatures):
            raise TypeError(f"{texts[0]}: incompatible function arguments {given!r} {named!r}")
        return function(self, *given, **named)

    return call


def parse_signature(text):
    """Return (name, type, has a default) of each argument after self of a pybind11 signature."""
    text = re.sub(r"= <[^>]*>", "= None", text).replace("::", ".")
    arguments = ast.parse(f"def {text}: ...").body[0].args
    required = len(arguments.args) - len(arguments.defaults)
    return [
        (argument.arg, ast.unparse(argument.annotation), place >= required)
        for place, argument in enumerate(arguments.args)
    ][1:]


def fits(module, parameters, given, named):
    """Tell whether arguments bind to the parameters of one signature."""
    names = [name for name, _, _ in parameters]
    if len(given) > len(parameters) or set(named) - set(names[len(given) :]):
        return False
    values = dict(zip(names, given, strict=False)) | named
    if any(name not in values for name, _, has_default in parameters if not has_default):
        return False
    return all(accepts(module, kind, values[name]) for name, kind, _ in parameters if name in values)


def accepts(module, kind, value):
    """Tell whether pybind11 would take a value for a type."""
    last = kind.rsplit(".", 1)[-1]
    plain = {"str": str, "bool": bool, "tuple": tuple, "list": list, "SupportsInt": int | np.integer}
    if last == "Buffer":
        return isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "nbytes")
    if last == "Dims":
        return isinstance(value, tuple | list) and all(isinstance(item, int | np.integer) for item in value)
    wanted = plain.get(last) or getattr(module, last, None)
    return wanted is not None and isinstance(value, wanted)
