"""What a compile proved, as data and as a table people read."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["MethodParity", "ParityReport"]


@dataclass
class MethodParity:
    """How one method compared with the original.

    Attributes
    ----------
    rows : int
        Rows compared.
    mismatches : int
        Rows outside what is promised; always 0 in a report that `mlcore.compile` returned.
    exact : bool
        Whether bit equality is promised for this method.
    max_ulp : int
        Largest distance seen, in units in the last place of the output's dtype.
    tolerance_ops : list of str
        The steps that make the method inexact, as ``op (path)``.
    undecided : int
        Rows not counted: behind an inexact step, so near a decision that rounding may settle either way.
    """

    rows: int = 0
    mismatches: int = 0
    exact: bool = True
    max_ulp: int = 0
    tolerance_ops: list[str] = field(default_factory=list)
    undecided: int = 0


@dataclass
class ParityReport:
    """Proof that a compiled model gives the original's numbers.

    Attributes
    ----------
    methods : dict of str to MethodParity
    generated_rows, sample_rows : int
        Rows made by mlcore at, one ULP below and one ULP above split values and category boundaries, and rows of
        the caller's sample.
    boundaries, boundaries_checked : int
        Split values and categories found in the model, and how many of them the generated rows visit (they differ
        when the cap on generated rows was reached).
    refusals : int
        Probes (missing, unseen, infinite values) that the original refuses and the compiled model refuses too.
    only_refused_here : list of str
        Probes that the original accepts and the compiled model refuses with an error.
    seconds : float
        Time of the whole compile.
    """

    methods: dict[str, MethodParity] = field(default_factory=dict)
    generated_rows: int = 0
    sample_rows: int = 0
    boundaries: int = 0
    boundaries_checked: int = 0
    refusals: int = 0
    only_refused_here: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = []
        if self.generated_rows:
            visited = f"{self.boundaries_checked:,} of {self.boundaries:,} boundaries"
            parts.append(f"{self.generated_rows:,} generated rows at {visited}")
        if self.sample_rows:
            parts.append(f"{self.sample_rows:,} sample rows")
        if self.seconds:
            parts.append(f"{self.seconds:.1f} s")
        lines = [f"parity: {', '.join(parts)}"]
        width = max((len(name) for name in self.methods), default=0)
        for name, method in self.methods.items():
            promise = "bit-exact" if method.exact else f"max {method.max_ulp} ULP"
            line = f"  {name:<{width}}  {method.rows:>9,} rows  {method.mismatches} mismatches  {promise}"
            if method.undecided:
                line += f"  ({method.undecided} rows undecided)"
            lines.append(line)
        inexact = list(dict.fromkeys(op for method in self.methods.values() for op in method.tolerance_ops))
        if inexact:
            lines.append("  within tolerance: " + ", ".join(inexact))
        if self.refusals:
            lines.append(f"  {self.refusals} probes refused by both")
        lines += [f"  refused here only: {probe}" for probe in self.only_refused_here]
        return "\n".join(lines)
