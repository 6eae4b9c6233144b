"""The marks that sites print on their photos: estimated from what many photos of a host share, without a network and
without training."""
