"""What the Matcher returns: values, with where they come from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..engine.clock import tell_time
from .thresholds import Decision


@dataclass(frozen=True)
class ZeroShotResult:
    """Scores between 0 and 1 by label, and the provenance of each number (no patient data in it).

    decisions: above or below, for the labels that this site calibrated for just this kind of score.
    scored_at: when, in UTC; two results that differ in nothing else are equal.
    """

    scores: Mapping[str, float]
    provenance: Mapping[str, Any]
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    scored_at: str = field(default_factory=tell_time, compare=False)

    @property
    def top(self) -> str:
        """The label with the highest score."""
        return max(self.scores, key=lambda name: self.scores[name])

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        decisions = {name: asdict(decision) for name, decision in self.decisions.items()}
        told = {"decisions": decisions} if decisions else {}
        origin = {**self.provenance, "scored_at": self.scored_at}
        return {"scores": dict(self.scores), "top": self.top, **told, "provenance": origin}


@dataclass(frozen=True)
class Comparison:
    """Scores between 0 and 1 of a current study and an earlier one by label, and the provenance of both."""

    current: Mapping[str, float]
    prior: Mapping[str, float]
    provenance: Mapping[str, Any]
    scored_at: str = field(default_factory=tell_time, compare=False)

    @classmethod
    def of(cls, now: ZeroShotResult, before: ZeroShotResult) -> "Comparison":
        """Put two results together; the provenance is the current study's, with what was read of the prior."""
        profiles = sorted({*now.provenance["intensity_profile"], *before.provenance["intensity_profile"]})
        of_both = ("reading", "decoders", "pixels_sha256")
        both = {"intensity_profile": profiles, **{f"prior_{name}": before.provenance[name] for name in of_both}}
        return cls(now.scores, before.scores, {**now.provenance, **both})

    @property
    def change(self) -> dict[str, float]:
        """The score of the current study minus that of the earlier one, by label."""
        return {name: score - self.prior[name] for name, score in self.current.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {
            "current": dict(self.current),
            "prior": dict(self.prior),
            "change": self.change,
            "provenance": {**self.provenance, "scored_at": self.scored_at},
        }
