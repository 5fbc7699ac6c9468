"""A single Apache Kafka broker on this machine, from Maven Central, and a client for it."""
