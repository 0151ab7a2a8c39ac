"""An OpenAI batch: a file of requests, one a line, and a file of results, one for each request.

The format is that of OpenAI's Batch API (platform.openai.com/docs/guides/batch), which vLLM's run-batch reads and
writes too. A request becomes a record with its own messages and sampling. A line that can't be answered becomes a
record that is rejected with OpenAI's error code, so that every line has a result.
"""
