"""From a changed incident to its messages: compose and deliver."""
