"""What happens to each event and each command; no state, no adapter imports."""
