"""Sheets of photos by the reason for which they are out, with how far each is from its threshold; kept photos; and near
copies."""

from collections.abc import Sequence
from typing import Any

from bolid_data.report.page.charts import number
from bolid_data.report.page.material import Material, Section, short_name

_MEANINGS = {
    "broken": "cannot be decoded", "opted_out": "their owner opted out; none is shown",
    "too_small": "narrower or lower than the thresholds", "aspect": "too narrow or too wide",
    "no_person": "fewer people were found than a photo should show",
    "several_people": "more people were found than a photo should show",
    "several_faces": "more faces, or faces without a body", "watermarked": "print of a site, or a watermark",
    "few_keypoints": "too little of the person can be seen", "sideways": "they lie on their side",
    "blurred": "not sharp enough", "dark": "too dark", "bright": "too bright", "colourless": "not colourful enough",
    "odd_one_out": "unlike the person's other photos", "gone": "their file was deleted; none is shown",
    "two_names": "the same photo, or a near copy, is listed under two people",
    "duplicate": "near copies of a better photo of the person",
    "few_photos": "the person has too few photos left", "rejected": "somebody decided so by hand",
    "reassigned": "they were assigned to another person",
}  # fmt: skip
_SHORT = {
    "watermark_unmarked": "watermark", "site_mark": "site mark", "other_faces": "faces without a body",
    "between": "bits", "distance": "bits", "kept_photos": "photos left", "likeness": "similarity",
}  # fmt: skip
_OP = {"<": "<", ">": ">", "<=": "≤"}


def samples(material: Material) -> Section | None:
    if not material.overview:
        return None
    sheets = []
    for reason, chosen in material.overview.samples.items():
        sheets.append(
            {
                "reason": reason, "words": material.words(reason), "photos": chosen.photos,
                "meaning": _MEANINGS.get(reason, ""), "out": figures(material, chosen.out, reason),
                "almost_out": figures(material, chosen.almost_out, reason),
            }
        )  # fmt: skip
    kept = figures(material, material.overview.kept)
    return Section("samples", "Photos by reason", {"sheets": sheets, "kept": kept, "number": material.funnel["kept"]})


def figures(material: Material, photos: Sequence[dict[str, Any]], reason: str = "") -> list[dict[str, Any]]:
    """Photos as the macro `figure` shows them."""
    material.thumbnails.make(photo["sha256"] for photo in photos)
    return [_figure(material, photo, reason) for photo in photos]


def _figure(material: Material, photo: dict[str, Any], reason: str) -> dict[str, Any]:
    facts = [fact for fact in photo["facts"] if fact["reason"] == reason]
    out = [fact for fact in facts if fact["out"]]
    if not out:  # a photo that is in: what comes nearest
        out = sorted(facts, key=lambda fact: fact["margin"])[:1]
    notes = [fact_text(fact) for fact in out]
    if reason == "broken" and photo["broken"]:
        notes.append(photo["broken"])
    return {
        "picture": material.thumbnails.get(photo["sha256"]), "person": photo["person"], "sha256": photo["sha256"],
        "file": short_name(photo["file"]), "notes": notes, "caption": photo["caption"],
        "also": [material.words(word) for word in photo["reasons"] if word != reason],
    }  # fmt: skip


def fact_text(fact: dict[str, Any]) -> str:
    """A fact beside its threshold and its margin: width 847 < 1000 (−153)."""
    name = _SHORT.get(fact["fact"], fact["fact"])
    if fact["threshold"] == "one_name":
        return f"{number(fact['value'])} names"
    relation = _OP[fact["op"]] if fact["out"] else {"<": "≥", ">": "≤", "<=": ">"}[fact["op"]]
    return f"{name} {number(fact['value'])} {relation} {number(fact['limit'])} ({signed(fact['margin'])})"


def signed(margin: float) -> str:
    return f"{'−' if margin < 0 else '+' if margin > 0 else '±'}{number(abs(margin))}"


def copies(material: Material) -> Section | None:
    """Near copies: kept photos with their duplicates, and photos listed under two people."""
    if not material.overview or not (material.overview.copies or material.overview.two_names):
        return None
    groups, pairs, counts = material.overview.copies, material.overview.two_names, material.funnel["reasons"]
    wanted = [sha256 for group in groups for sha256 in (group["sha256"], *(c["sha256"] for c in group["copies"]))]
    wanted += [sha256 for pair in pairs for sha256 in (pair["sha256"], pair["other"])]
    material.thumbnails.make(wanted)
    picture = material.thumbnails.get
    return Section(
        "copies", "Near copies",
        {
            "groups": [
                group | {
                    "picture": picture(group["sha256"]),
                    "copies": [copy | {"picture": picture(copy["sha256"])} for copy in group["copies"]],
                }
                for group in groups
            ],
            "pairs": [
                pair | {"picture": picture(pair["sha256"]), "other_picture": picture(pair["other"])} for pair in pairs
            ],
            "duplicates": counts.get("duplicate", 0), "two_names": counts.get("two_names", 0),
        },
    )  # fmt: skip
