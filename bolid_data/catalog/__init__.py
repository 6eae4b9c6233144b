"""The catalog (`catalog.duckdb`): the only state of a dataset. All SQL is here and in `curate/judge.py`."""

from bolid_data.catalog.address_list import AddressList
from bolid_data.catalog.captioned import Captioned
from bolid_data.catalog.collected import Collected
from bolid_data.catalog.curated import Curated
from bolid_data.catalog.index import Index, read_index
from bolid_data.catalog.pins import Pinned
from bolid_data.catalog.rows import dicts, upsert, utc_now
from bolid_data.catalog.summary import Summarised

__all__ = ["AddressList", "Catalog", "Index", "dicts", "read_index", "upsert", "utc_now"]


class Catalog(Collected, Curated, Captioned, Pinned, Summarised):
    """Every method is one short batch of its own; `open` is one of the caller's."""
