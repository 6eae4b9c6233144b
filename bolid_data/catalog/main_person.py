"""The main person of a photo, in SQL over rows of `detections` of kind person."""

AREA = "(box[3] - box[1]) * (box[4] - box[2])"
"""The area of a box in pixels."""

CERTAIN = 0.5
"""The score from which a detection is certainly a person."""

MAIN_PERSON = f"(CASE WHEN score >= {CERTAIN} THEN {AREA} ELSE 0 END, score, {AREA})"
"""The main person is the one for whom this is greatest: the largest of the certain ones or, where nobody is certain,
the most certain. Not simply the most certain: that may be a bystander."""
