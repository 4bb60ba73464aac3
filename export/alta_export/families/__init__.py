"""One file per family of checkpoints: what an export must know of it beside its towers."""
