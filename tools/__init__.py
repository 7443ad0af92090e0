"""Programs for people who change this project; nothing of it is installed."""
