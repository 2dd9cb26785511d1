"""A recipe search on the service: PostgreSQL with pgvector finds the recipes nearest to a query. See README.md."""
