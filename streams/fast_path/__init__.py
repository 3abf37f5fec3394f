"""Optional speed-ups. `HOOKSEAL_FAST_PATH=false` turns them off; every guarantee still holds.

* `batch_dispatcher.py`  puts a fetched batch into its partition's queue, past Faust's conductor
* `partition_queue.py`   that queue, and its records past Faust's stream
* `fetch_batching.py`    lets a broker collect records before it answers a fetch

`streams.changelog` also reads a document out of the store, past the table's `get`.
"""
