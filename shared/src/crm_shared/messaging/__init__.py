"""The Kafka edge: relay, consumer and worker."""
