"""The small world's measuring networks: keypoints, attributes and bodies of 64×64 photos."""
