"""`alta-train teach` of a checkout: write a teacher's table of sentence vectors."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.teach import teach as main

if __name__ == "__main__":
    main()
