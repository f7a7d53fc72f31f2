"""The history: counts and alerts in SQLite or PostgreSQL, by SQLAlchemy.

Reading, Alert ──► writer, a thread with a queue ──► store ──► tables ◄── export ──► CSV, Parquet
                                                     └──► zones, those that were changed in the console
"""
