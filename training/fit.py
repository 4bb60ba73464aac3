"""`alta-train fit` of a checkout: train ALTA's adapters, heads and norms inside frozen towers."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.fit import fit as main

if __name__ == "__main__":
    main()
