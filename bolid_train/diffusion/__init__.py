"""The frozen base, its noise schedule and samplers, and the frozen models that losses compare pictures with."""
