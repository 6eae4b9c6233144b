"""The judge: computes verdicts from measurements and explains them. All SQL of the curation outside of the catalog is
here."""

from bolid_data.curate.judge.explain import explain
from bolid_data.curate.judge.listing import Wanted, count_photos, export_photos, list_photos
from bolid_data.curate.judge.rules import MAX_STORED_DISTANCE, REASONS, RULES, Rule
from bolid_data.curate.judge.verdicts import already_out, funnel, judge, judge_decided, last_judgement
from bolid_data.records import ModelIds

__all__ = [
    "MAX_STORED_DISTANCE", "REASONS", "RULES", "ModelIds", "Rule", "Wanted", "already_out", "count_photos", "explain",
    "export_photos", "funnel", "judge", "judge_decided", "last_judgement", "list_photos",
]  # fmt: skip
