"""The page of `bolid report`: a file for each section, a template for each, and what they share."""
