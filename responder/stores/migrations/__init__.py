"""The way of the schema from version to version, run by ``responder.stores.core.migrate``."""
