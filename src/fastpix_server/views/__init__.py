"""Video data: beacons of players become views; views become metrics."""
