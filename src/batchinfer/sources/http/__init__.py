"""HTTP APIs: pages fetched with patience, kept until they have landed, and the records in them."""
