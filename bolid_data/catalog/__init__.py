"""The catalog (`catalog.duckdb`): the only state of a dataset. All SQL is here and in `curate/judge/`."""

from bolid_data.catalog.address_list import AddressList
from bolid_data.catalog.captioned import Captioned
from bolid_data.catalog.collected import Collected
from bolid_data.catalog.curated import Curated
from bolid_data.catalog.decided import Decided
from bolid_data.catalog.embedded import Embedded
from bolid_data.catalog.forgotten import Forgotten, without_photos
from bolid_data.catalog.hashed import Hashed
from bolid_data.catalog.index import Index, Sharded
from bolid_data.catalog.pins import Pinned
from bolid_data.catalog.pixels import Pixels
from bolid_data.catalog.rows import dicts, insert, upsert, utc_now
from bolid_data.catalog.summary import Summarised
from bolid_data.catalog.withdrawn import Withdrawn, WithdrawnPhoto

__all__ = [
    "AddressList", "Catalog", "Index", "WithdrawnPhoto", "dicts", "insert", "upsert", "utc_now", "without_photos",
]  # fmt: skip


class Catalog(
    
    Captioned, Collected, Curated, Decided, Embedded, Forgotten, Hashed, Pinned,
    Pixels, Sharded, Summarised, Withdrawn
,
):  # fmt: skip
    """Every method is one short batch of its own; `open` is one of the caller's."""
