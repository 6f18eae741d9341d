"""What several tests share: scans and cohorts, servers, networks, and ways to make trouble."""
