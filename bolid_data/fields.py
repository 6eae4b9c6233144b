"""Types of values in files that may come from a stranger: names that become paths, hashes, counts, text.

pydantic checks them. In its patterns, `$` matches only at the end of the text, never before a final line break.
"""

from typing import Annotated

from pydantic import Field

SLUG = r"[a-z0-9_-]{1,80}"
MAX_SAMPLE = 300_000_000
"""Bytes of one sample in a shard, at most: a photo of 100 MB, re-encoded, is smaller."""

Slug = Annotated[str, Field(pattern=f"^{SLUG}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
"""A commit of a hub repository."""
KeyedId = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
SplitName = Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")]
ShardName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}-[0-9]{6,9}\.tar$")]
SampleKey = Annotated[str, Field(pattern="^[a-z0-9_-]{1,100}$")]
RunFile = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}/)?[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}$")]
"""A file of a run, at most one folder deep."""
MAX_WORDS = 20_000
Words = Annotated[str, Field(max_length=MAX_WORDS)]
"""A caption or a prompt."""
CaptionName = Annotated[str, Field(pattern="^[a-z0-9_]{0,40}$")]
"""One of a photo's captions, such as `short` or `tags`; "" for the plain one."""
Instruction = Annotated[str, Field(min_length=1, max_length=2000)]
"""What a captioner is asked to describe."""
MAX_TRIGGER = 200
TriggerWord = Annotated[
    str, Field(max_length=MAX_TRIGGER, pattern=r"^([^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?)?$")
]
"""What stands in front of every caption, on one line."""
Remark = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")]
"""A remark on one line."""
Side = Annotated[int, Field(ge=1, le=1_000_000)]
Offset = Annotated[int, Field(ge=0, le=2**50)]
Count = Annotated[int, Field(ge=0, le=2**40)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Keypoints = Annotated[tuple[tuple[Finite, Finite, Finite], ...], Field(min_length=17, max_length=17)]
