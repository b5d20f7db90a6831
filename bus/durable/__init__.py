"""DURABLE topics: the publisher's log on disk, and the consumer's cursor in it.

segment.py   the bytes of a log; sans-IO
numbers.py   which numbers of a log may have been given, whatever happened to its tail
log.py       the log of one topic of one publisher: append, read, retain
syncer.py    brings what was written to the disk, off the node's thread
cursor.py    where a consumer stands, in a file
inbox.py     the queue of a subscription that keeps cursors
logs.py, readers.py   both, as the executor of a process has them
"""
