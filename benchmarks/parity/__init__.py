"""Compares our modules with numbers that the authors' published code computed (`python -m benchmarks.parity`).

A fixture is a safetensors file `<system>/<case>.safetensors` with random weights (`weights.<key>`, named as in the
published checkpoint), inputs (`in.<name>`), and what the authors' code made of them (`out.<name>`). Sizes come from
the tensors, and from the JSON in the metadata's `dims` what tensors cannot show, such as the number of heads.

A system's module is `benchmarks/parity/<system>.py`, and has

    CASES: Mapping[str, Callable[[Fixture], Mapping[str, Tensor]]]

from the name of a case to a function that computes every `out.<name>` of the fixture, by `<name>`, with the very
modules that `load_public` and `bolid generate` use. A case also stands for files whose names continue it, such as
`draw_kps` for `draw_kps_128x128`. A system without a module is listed as skipped.
"""
