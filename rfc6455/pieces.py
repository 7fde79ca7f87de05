"""What one step of the frame parser came to: a *piece* of a frame, as bits.

A frame that lies whole in the input is one piece; a longer one begins, goes on and ends in several. These numbers are
shared by `frames.py`, which gives them, and `connection.py`, which reads them.
"""

NOTHING = 0
PIECE = 1
STARTS = 2
ENDS = 4
WHOLE = PIECE | STARTS | ENDS
