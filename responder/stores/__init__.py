"""The durable truth: deliveries, episodes, runs, records and the outbox, over one schema."""
