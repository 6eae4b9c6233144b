"""What methods add to the UNet's attention."""
