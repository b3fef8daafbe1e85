"""The servers that batchops uses, from their URLs: database, queue, mail."""
