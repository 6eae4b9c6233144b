"""The frozen base model, its noise schedule and samplers, and the frozen models that losses use."""
