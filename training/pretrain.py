"""`alta-train pretrain` of a checkout: pretrain towers by masked record modelling."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.pretrain import pretrain as main

if __name__ == "__main__":
    main()
