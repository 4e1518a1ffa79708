"""The log in a folder of this machine (RocksDB)."""
