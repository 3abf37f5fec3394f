"""`hookseal local`: API and delivery in one process, without Kafka and without Faust."""
