"""Names of parameters: ours, and those of the published code, which checkpoints hold."""


def published_name(name: str) -> str:
    """Return the published name of one of our parameters, e.g. text.bert… is bert_encoder.bert…."""
    part, _, rest = name.partition(".")
    return {"image": rest, "decoder": rest, "text": f"bert_encoder.{rest}"}.get(part, name)
