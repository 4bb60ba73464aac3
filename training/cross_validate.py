"""`alta-train cross-validate` of a checkout: compare recipes by cross-validation by patient."""

if __name__ in ("__main__", "__mp_main__"):  # before what takes seconds to import: Ctrl-C is one line then, too
    import alta_start

    alta_start.begin(__name__)

from alta_training.cli.cross_validate import cross_validate as main

if __name__ == "__main__":
    main()
