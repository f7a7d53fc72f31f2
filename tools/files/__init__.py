"""Files written piece by piece: what cameras and scanners write, and Pillow does not."""
