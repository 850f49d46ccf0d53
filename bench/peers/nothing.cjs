// Node itself: what every process pays before its first line.
