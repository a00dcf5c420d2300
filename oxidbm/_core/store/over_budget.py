"""What the memory budget cannot hold: the index of more keys than that is in memory all the same, and is said once."""

import threading
import warnings
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.budget import INDEX
from oxidbm._core.errors import BudgetWarning
from oxidbm._core.table.table import Table

BEYOND: Final = 16777216  # bytes past the budget from which on it is worth a word


@final
class OverBudget:
    """Says once of an open store that its index is larger than its memory budget."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.said = False

    def say(self, background: int) -> None:
        """Issue the warning where it is due, in any thread but the background's, which nobody listens to."""
        budget = self.table.log.budget
        size: i64 = budget.held[INDEX]
        if self.said or size <= budget.limit + BEYOND or threading.get_ident() == background:
            return
        self.said = True
        warnings.warn(
            f"the index of {self.table.life.called()} takes {size:,} bytes for {self.table.count:,} keys, and memory= "
            f"is {budget.limit:,}: the index is in memory all the same, and next to nothing is left for records. "
            f"Open the store with memory= of {2 * size:,} bytes or more, if there is so much",
            BudgetWarning,
            stacklevel=1,
        )
