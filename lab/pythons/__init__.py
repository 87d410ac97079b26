"""The Pythons: those of this machine, those in images, and the images that are made of them."""
