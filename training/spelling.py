"""What a mistyped name may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def advice(name: str, known: Iterable[str], otherwise: str) -> str:
    """ "Did you mean final, final-ramp?": the nearest, three at most, of `known`; `otherwise` where none is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=3)
    return f"Did you mean {', '.join(near)}?" if near else otherwise
