"""`alta-train publish` of a checkout: store a run's best weights for others."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.publish import publish as main

if __name__ == "__main__":
    main()
