"""Body identity: how a view is weighted and how the views of one person become one vector."""
