"""Video data: how fast beacons are acknowledged and seen, how fast questions are answered, and how much disk a view takes."""
