"""Optional speed-ups. `HOOKSEAL_FAST_PATH=false` turns them off; every guarantee still holds.

* `batch_dispatcher.py`  puts a fetched batch into its partition's queue, past Faust's conductor
* `partition_queue.py`   the queue that takes such a batch
* `queue_records.py`     reads the records out of that queue, past Faust's stream
* `fetch_batching.py`    lets a broker collect records before it answers a fetch
* `table_lookup.py`      reads a value out of a table's store, past Faust's `get`
"""
