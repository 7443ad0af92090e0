"""The answers of the video data API, one file each: a question in, rows in the words of the wire out.

Each takes a way to ask (`selection.Rows`), the caller's workspace and checked parameters; none knows HTTP.
"""
