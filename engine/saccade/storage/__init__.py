"""Files that are whole or not there, a durable spool, and its uploads.

atomic      a file appears under its name once all of it is on the disk
entries     one file of a spool: header, content, digest
spool       a folder that keeps what is put into it until it is removed
uploader    drains a spool into a bucket
uploads     those of all cameras of a process
writable    whether a file can be written at the end, asked at the beginning
"""
