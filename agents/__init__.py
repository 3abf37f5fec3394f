"""The Faust agents, one for each topic that a worker reads."""
