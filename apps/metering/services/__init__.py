"""What brings readings in and anchors them."""
