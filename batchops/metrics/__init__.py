"""What Prometheus reads of batchops: counters kept in the database, the rest read at each scrape.

Web servers and workers are many processes that come and go, on several hosts, so what is counted
is kept for all of them together and goes on after a restart; any web process can be asked.
"""
