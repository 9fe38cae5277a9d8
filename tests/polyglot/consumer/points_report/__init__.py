"""Points issued, used, expired and forfeited by day: an example of another team's service."""
