"""What `alta demo` scores: an engine, two radiographs, what their data set says of them, the model's card."""

from importlib.metadata import version
from pathlib import Path

__version__ = version("alta-sdk-demo")

FOLDER = Path(__file__).parent
ENGINE = FOLDER / "demo.alta"
CARD = FOLDER / "MODEL_CARD.md"
RADIOGRAPHS = FOLDER / "radiographs"
