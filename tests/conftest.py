"""What all tests share."""

import signal

# A test run that was started in the background ignores SIGINT, and so would the processes it starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
