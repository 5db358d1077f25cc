from tests.adapters.embedded import bench, postgres_store, store

__all__ = ["bench", "postgres_store", "store"]
