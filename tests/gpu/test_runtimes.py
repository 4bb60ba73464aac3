"""The driver, its memory, and onnxruntime's CUDA provider, on the GPU itself."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fakes.tensorrt import make_small_graph
from tolerances import EMBEDDING, FLOAT32, MIN_COSINE

from alta_runtimes import choose_runtime, load
from alta_runtimes.device_memory import Device, Stream
from alta_runtimes.driver import Driver, DriverError, probe_driver
from alta_sdk import Engine, Matcher, Study
from alta_sdk.engine.trial import try_engine


@pytest.fixture
def stream():
    device = Device(Driver())
    device.make_current()
    return Stream(device)


def test_the_driver_tells_of_the_gpu_what_torch_tells():
    gpu = probe_driver().gpus[0]
    major, minor = torch.cuda.get_device_capability(0)
    assert (gpu.name, gpu.compute_capability) == (torch.cuda.get_device_name(0), f"{major}.{minor}")


def test_arrays_come_back_from_the_gpu_as_they_went(stream):
    rng = np.random.default_rng(0)
    for size in (1, 1000, 3_000_000, 5):  # a buffer grows, and is used again
        array = rng.normal(size=size)
        stream.send("x", array)
        back = stream.receive("x", array.shape, array.dtype)
        stream.wait()
        np.testing.assert_array_equal(back, array)


def test_more_memory_than_the_gpu_has_is_an_error_of_the_driver(stream):
    with pytest.raises(DriverError, match="cuMemAlloc_v2 failed with CUDA error 2"):
        stream.reserve("x", 1 << 50)


def test_a_graph_on_the_gpu_gives_what_it_gives_on_the_cpu(onnxruntime_on_gpu):
    assert choose_runtime()[0] == "onnxruntime"
    session, plain = (load(make_small_graph(), device=device, runtime="onnxruntime") for device in ("cuda", "cpu"))
    assert session.info.device == "cuda"
    for rows in (1, 7):
        x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
        given = {"x": x, "k": np.ones((rows, 1), dtype=np.int64)}
        np.testing.assert_allclose(session.run(given)["y"], plain.run(given)["y"], **FLOAT32)


def test_scores_and_heat_maps_of_the_gpu_are_the_cpus(onnxruntime_on_gpu, bundle, radiograph_path):
    study = Study.from_images(frontal=radiograph_path)
    on_gpu, on_cpu = (Matcher(bundle, device=device, runtime="onnxruntime") for device in ("cuda", "cpu"))
    one, other = (matcher.zero_shot(study, ["pneumonia", "edema"]) for matcher in (on_gpu, on_cpu))
    assert (one.provenance["device"], other.provenance["device"]) == ("cuda", "cpu")
    np.testing.assert_allclose(list(one.scores.values()), list(other.scores.values()), **FLOAT32)
    np.testing.assert_allclose(on_gpu.embed(study).vector, on_cpu.embed(study).vector, **EMBEDDING)
    heat = [matcher.locate(study, "opacity").values for matcher in (on_gpu, on_cpu)]
    np.testing.assert_allclose(*heat, rtol=0, atol=1e-4)


def test_the_whole_self_test_passes_on_the_gpu(onnxruntime_on_gpu, bundle):
    drifts = Engine.open(bundle, device="cuda").run_self_test()
    assert all(drift.is_within_limits and drift.worst_cosine > MIN_COSINE for drift in drifts)


def test_threads_that_share_an_engine_get_the_same_numbers(onnxruntime_on_gpu, bundle):
    engine = Engine.open(bundle, device="cuda")
    pixels = np.random.default_rng(1).integers(0, 256, (8, 1, 224, 224), dtype=np.uint8)
    slot = np.zeros(1, dtype=np.int64)
    alone = [engine.encode_pixels(one[None], slot) for one in pixels]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: engine.encode_pixels(one[None], slot), pixels))
    np.testing.assert_array_equal(together, alone)


def test_the_first_run_under_limits_passes_on_a_machine_with_a_gpu(onnxruntime_on_gpu, bundle):
    assert all(drift.is_within_limits for drift in try_engine(bundle))
