"""Proof of parity: generated rows and the caller's sample through the original and through the compiled model.

``graph`` reads split values and categories out of a finished program, ``rows`` makes input rows from them,
``compare`` judges two arrays, ``prove`` runs the whole proof.
"""

from __future__ import annotations

from mlcore.parity.prove import prove, verify

__all__ = ["prove", "verify"]
