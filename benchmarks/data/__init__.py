"""Video data: beacons acknowledged and seen, questions answered, disk taken."""
