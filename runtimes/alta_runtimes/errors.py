"""The bottom of the error tree; `alta_sdk.errors` draws the whole of it."""


class AltaError(Exception):
    """Anything that alta-sdk refuses or could not do: one line that says what, where and the way out."""


class EngineError(AltaError):
    """An engine (a bundle and its sessions) cannot be opened or used as asked."""


class IntegrityError(EngineError):
    """A bundle is not what its manifest says, or a graph is not of the kind that an export writes."""


class RuntimeUnavailable(EngineError):
    """The back end or device that was asked for does not work on this machine."""
