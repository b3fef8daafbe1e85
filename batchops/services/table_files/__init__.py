"""Rows as files for spreadsheets: CSV and XLSX, streamed, in which nothing is run or altered."""
