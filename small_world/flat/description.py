"""The words for what a drawn photo shows."""

FRAMING = {"full": "full-body", "knees_up": "knees-up", "bust": "waist-up"}
SLEEVES = {"long": "long-sleeved", "short": "short-sleeved", "none": "sleeveless"}
LEGS = ("trousers", "shorts", "skirt")
ARMS = {
    "down": "arms down", "raised": "arms raised", "on hips": "hands on the hips", "folded": "arms folded",
    "spread": "arms spread", "waving": "one arm raised",
}  # fmt: skip
SCENE = {
    "studio": "in a studio", "room": "in a room", "garden": "in a garden", "sea": "by the sea", "street": "on a street",
}  # fmt: skip
