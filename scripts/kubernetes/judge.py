"""Judges a report of cluster-load: prints its figures in a line, and fails where one that must be zero is not.

usage: judge.py REPORT [FIGURE ...]     the figures that need not be zero here
"""
import json, sys

ALWAYS = ["lost", "doubled", "disordered", "failed_subscribers"]
USUALLY = ["refused", "unanswered", "unconnected", "cuts", "refused_connections", "unanswered_connections"]

with open(sys.argv[1]) as file:
    report = json.load(file)
wrong = [name for name in ALWAYS + [name for name in USUALLY if name not in sys.argv[2:]] if report[name]]
if not report["acknowledged"] or not report["subscribers"]:
    wrong.append("nothing happened")
text = (
    f"{report['acknowledged']} published, {report['refused']} refused, {report['unanswered']} unanswered, "
    f"{report['unconnected']} not connected (for {report['longest_unconnected_ms']} ms at most); {report['subscribers']} subscribers: {report['lost']} lost, "
    f"{report['doubled']} doubled, {report['disordered']} out of order; {report['reconnections']} reconnections "
    f"({report['refused_connections']} refused, {report['cuts']} streams cut); longest gap "
    f"{report['longest_gap_ms'] / 1000:.2f} s, slowest publish {report['slowest_publish_ms'] / 1000:.2f} s"
)
if wrong:
    print(f"{', '.join(wrong)} should be zero: {text} {report['unanswered_why'] or ''}")
    sys.exit(1)
print(text)
