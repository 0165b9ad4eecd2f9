"""Compares the ids of a history (a file) with a list of the same history that was made a little earlier (standard input):
where both have them, they are the same, in the same order."""
import sys

with open(sys.argv[1]) as file:
    history = file.read().split()
listed = sys.stdin.read().split()
begin = listed.index(history[0])
common = len(listed) - begin
if history[:common] != listed[begin:]:
    sys.exit("they differ")
