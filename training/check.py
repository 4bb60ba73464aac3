"""`alta-train check` of a checkout: read a table as training would, and tell what is in it."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.check import check as main

if __name__ == "__main__":
    main()
