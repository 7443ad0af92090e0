"""On-demand video: time to Ready, cold segments, cost of the ladder, quality, start-up."""
