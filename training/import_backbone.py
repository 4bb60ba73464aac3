"""`alta-train import-backbone` of a checkout: make a backbone of a DINOv2-style ViT."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.import_backbone import import_backbone as main

if __name__ == "__main__":
    main()
