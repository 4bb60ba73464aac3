"""A strict reader of our pages, and a made-up heat map and origin to put into one."""

from html.parser import HTMLParser

import numpy as np

from alta_sdk import Heatmap
from alta_sdk.report.run import SmallMap

EVIL = '<script>alert("x")</script>'
ORIGIN = {"engine": "chest & <co>", "engine_sha256": "ab" * 32, "precision": "fp32", "runtime": "onnxruntime 1"}
ORIGIN |= {"fusion_mode": "frontal", "label_set": None, "slots": ["frontal"], "notices": [f"DEMO {EVIL}"]}
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, all attributes and texts kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_map(phrase=0, high=0.7):
    grey = np.full((600, 400), 90, dtype=np.uint8)
    patches = np.array([[0.1, high], [0.2, 0.3]], dtype=np.float32)
    return SmallMap.of(Heatmap(grey.astype(np.float32), patches, 0.2, 0.5, (1, 1), grey, ORIGIN), phrase)
