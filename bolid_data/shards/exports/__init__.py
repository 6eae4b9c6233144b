"""`bolid export`: hands kept photos and their captions to other trainers and readers."""
