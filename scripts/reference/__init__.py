"""The reference pages, written from the code itself: nothing here says twice what a class, table or enum says."""
