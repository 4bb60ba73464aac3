"""BioViL-T and BioViL in their published files, narrow and with random weights, with a CXR-BERT folder beside them."""

import json

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import BertConfig

from alta_training.data.synthetic import write_text_model
from alta_training.families import biovil_image, cxr_bert
from alta_training.families.biovil_image import BiovilImage, BiovilTImage, Projector
from alta_training.families.biovil_temporal import TemporalBlock
from alta_training.families.cxr_bert import WholeCxrBert
from alta_training.families.resnet import ResNet50
from alta_training.model.heads import ProjectionHead

STEM, WIDTHS, TEMPORAL, MLP = 6, (4, 5, 6, 7), 16, 24
HIDDEN = EMBEDDING = 12  # as many, as published


def make_image_weights(name="biovil-t", seed=0, temporal=TEMPORAL):
    """Return a state dict by published names, with a classifier that nothing uses."""
    torch.manual_seed(seed)
    trunk = ResNet50(STEM, WIDTHS)
    if name == "biovil":
        tower = BiovilImage(trunk, Projector(trunk.channels, HIDDEN, EMBEDDING))
    else:
        to_static = nn.Conv2d(trunk.channels, temporal, 1, bias=False)
        projector = Projector(2 * temporal, HIDDEN, EMBEDDING)
        tower = BiovilTImage(trunk, to_static, TemporalBlock(temporal, MLP, 14), projector)
        nn.init.normal_(tower.missing_prior)
        nn.init.normal_(tower.temporal.type_embed)
    weights = {biovil_image.published_name(own): tensor for own, tensor in tower.state_dict().items()}
    classifier = nn.Linear(trunk.channels, 3)
    return weights | {f"encoder.encoder.fc.{own}": tensor for own, tensor in classifier.state_dict().items()}


def make_text_config(**changes):
    given = {"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    given |= {"intermediate_size": 20, "max_position_embeddings": 40}
    return BertConfig(**(given | changes))


def make_text_weights(config, embedding=EMBEDDING, seed=1):
    """Return the text model's state dict as the published pickle has it: tied tensors twice, position_ids."""
    torch.manual_seed(seed)
    tower = WholeCxrBert(config, ProjectionHead(config.hidden_size, embedding))
    weights = {cxr_bert.published_name(own): tensor for own, tensor in tower.state_dict().items()}
    weights |= {name: weights[source] for name, source in cxr_bert.TIED.items()}
    return weights | {"bert.embeddings.position_ids": torch.arange(config.max_position_embeddings)[None]}


def write_text_folder(folder, weights, config, form="pytorch_model.bin"):
    """Write config.json, vocab.txt and the weights in one of the two published forms."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text_model(folder, config)
    stated = json.loads((folder / "config.json").read_text())
    stated |= {"model_type": "cxr-bert", "architectures": ["CXRBertModel"]}
    (folder / "config.json").write_text(json.dumps(stated))
    if form == "pytorch_model.bin":
        torch.save(weights, folder / form)
    else:  # no pickled buffer, and what is tied is there once
        left_out = {*cxr_bert.TIED, *cxr_bert.IGNORED}
        save_file({n: tensor.clone() for n, tensor in weights.items() if n not in left_out}, folder / form)
    return folder
