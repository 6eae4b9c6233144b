"""What the small world's models can do, measured from their committed weights on people that none of them has seen."""
