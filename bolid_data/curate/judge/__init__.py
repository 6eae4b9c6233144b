"""The judge: computes verdicts from measurements and explains them. All SQL of the curation outside of the catalog is
here."""

from bolid_data.curate.judge.explain import explain
from bolid_data.curate.judge.rules import MAX_STORED_DISTANCE, REASONS, RULES, Rule
from bolid_data.curate.judge.verdicts import already_out, funnel, judge
from bolid_data.records import ModelIds

__all__ = ["MAX_STORED_DISTANCE", "REASONS", "RULES", "ModelIds", "Rule", "already_out", "explain", "funnel", "judge"]
