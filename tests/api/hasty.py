"""Gunicorn's worker as the API has it, with less patience."""

from api.reception import Reception


class Hasty(Reception):
    """Waits for a caller so long that it shows, and hardly at all when others want a thread."""

    patience_s, haste_s, goodbye_s = 4.0, 0.2, 0.2
