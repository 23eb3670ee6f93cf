"""The table of a run."""

import collections

from load import COLUMNS

WIDTH = 15


class Report:
    """Counts failed and total calls in each row, and what else failed. All threads of the test share it."""

    def __init__(self):
        # By service, event and language: failed and total calls by column.
        self.rows, self.rounds = {}, collections.Counter()
        self.errors, self.problems = {}, []

    def add(self, service, event, before, after):
        """Adds the calls of a round, which completed between two counts."""
        self.rounds[service, event] += 1
        errors = self.errors.setdefault((service, event), collections.Counter())
        for language, counts in after.items():
            row = self.rows.setdefault((service, event, language), {column: [0, 0] for column in COLUMNS})
            for column, count in counts.items():
                earlier = before[language][column]
                failed = collections.Counter(count["failed"]) - collections.Counter(earlier["failed"])
                row[column][0] += failed.total()
                row[column][1] += count["calls"] - earlier["calls"]
                errors.update({f"{language}, {column}: {text}": number for text, number in failed.items()})

    def failed(self, service, event):
        """Returns the number of failed calls of each column in which calls failed, in all languages."""
        rows = [row for key, row in self.rows.items() if key[:2] == (service, event)]
        failed = {column: sum(row[column][0] for row in rows) for column in COLUMNS}
        return {column: number for column, number in failed.items() if number}

    def print(self):
        rows = dict(self.rows)
        names = max((len(f"{service}: {event}") for service, event, _ in rows), default=0)
        columns = "".join(column.rjust(WIDTH) for column in COLUMNS)
        print(f"\n{'failed / total calls'.ljust(names)}  rounds  {'clients'.ljust(8)}{columns}")
        for (service, event, language), row in rows.items():
            cells = "".join(f"{failed:,} / {total:,}".rjust(WIDTH) for failed, total in row.values())
            first = language == next(key[2] for key in rows if key[:2] == (service, event))
            name, rounds = (f"{service}: {event}", self.rounds[service, event]) if first else ("", "")
            print(f"{name.ljust(names)}  {str(rounds).rjust(6)}  {language.ljust(8)}{cells}")
        for (service, event), errors in dict(self.errors).items():
            for text, number in errors.most_common(3):
                print(f"  {service}: {event}: {number:,} x {text[:200]}")
        for problem in self.problems:
            print(f"FAILED  {problem}")
