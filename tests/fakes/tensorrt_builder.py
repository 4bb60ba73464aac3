"""The half of the fake TensorRT that builds plans; see tensorrt.py."""

import onnx


class Builder:
    def __init__(self, logger):
        self._logger = logger

    def create_network(self, flags=0):
        return self.trt.INetworkDefinition()

    def create_builder_config(self):
        return self.trt.IBuilderConfig()

    def create_optimization_profile(self):
        return self.trt.IOptimizationProfile()

    def build_engine_with_config(self, network, config):
        graph = network._graph
        dynamic = [v.name for v in onnx.load_from_string(graph).graph.input]
        if not config._profiles or any(name not in config._profiles[0]._shapes for name in dynamic):
            self._logger.log(self.trt.Severity.ERROR, "Network has dynamic inputs, but no optimization profile")
            return None
        if config._cache is not None:
            config._cache._data += b"timed"
        facts = {
            "flags": sorted(flag.name for flag in config._flags),
            "profiles": [profile._shapes for profile in config._profiles],
            "verbosity": config.profiling_verbosity.name,
            "workspace": config._workspace,
        }
        return self.trt.ICudaEngine(facts, graph)


class INetworkDefinition:
    def __init__(self):
        self._graph = b""


class IBuilderConfig:
    def __init__(self):
        self._flags, self._profiles, self._cache = {self.trt.BuilderFlag.TF32}, [], None
        self._workspace = None
        self.profiling_verbosity = self.trt.ProfilingVerbosity.LAYER_NAMES_ONLY

    def set_flag(self, flag):
        self._flags.add(flag)

    def clear_flag(self, flag):
        self._flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool == self.trt.MemoryPoolType.WORKSPACE
        self._workspace = pool_size

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        return self.trt.ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        self._cache = cache
        return not cache._data.startswith(b"other version")

    def get_timing_cache(self):
        return self._cache


class ITimingCache:
    def __init__(self, data):
        self._data = data

    def serialize(self):
        return self.trt.IHostMemory(self._data)


class IOptimizationProfile:
    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):
        if not len(min) == len(opt) == len(max) or not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("Shape provided for the profile is inconsistent")
        self._shapes[input] = [list(min), list(opt), list(max)]


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]

    def parse(self, model):
        try:
            onnx.checker.check_model(onnx.load_from_string(bytes(model)))
        except Exception as error:
            self._errors.append(self.trt.ParserError(str(error)))
            return False
        self._network._graph = bytes(model)
        return True


class ParserError:
    def __init__(self, text):
        self._text = text

    def desc(self):
        return self._text

    def node_name(self):
        return "some_node"


BUILDER_CLASSES = (
    Builder,
    INetworkDefinition,
    IBuilderConfig,
    ITimingCache,
    IOptimizationProfile,
    OnnxParser,
    ParserError,
)
