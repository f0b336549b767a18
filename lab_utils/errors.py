"""The one kind of error that a person sees: a sentence that says what is wrong and what to do."""


class LabError(Exception):
    """One sentence that names the file, row or parameter and says what to do.

    Notebooks show the sentence alone (IPython asks `_render_traceback_`); the command line prints it and stops.
    """

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class NotRunError(LabError):
    """The chapter cannot be run on this data (images are missing, say): counted as *not run*, not as failed."""
