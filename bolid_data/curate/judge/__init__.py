"""The judge: from measurements to verdicts, each of which can be explained and turned. All SQL of the curation that is
not the catalog's is here."""

from bolid_data.curate.judge.explain import explain
from bolid_data.curate.judge.rules import MAX_STORED_DISTANCE, REASONS, RULES, Rule
from bolid_data.curate.judge.verdicts import already_out, funnel, judge
from bolid_data.records import ModelIds

__all__ = ["MAX_STORED_DISTANCE", "REASONS", "RULES", "ModelIds", "Rule", "already_out", "explain", "funnel", "judge"]
